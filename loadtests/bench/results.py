"""Figures of all rounds, by contestant and measure."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median


@dataclass(frozen=True, slots=True)
class Spread:
    """Median, least and most of some rounds."""

    median: float
    least: float
    most: float

    @property
    def rounds_differ(self) -> bool:
        """Whether there is a spread to show."""
        return self.least != self.most


@dataclass(frozen=True, slots=True)
class Results:
    """``figures[contestant][measure][figure]`` is one value a round."""

    setting: dict[str, str]
    figures: dict[str, dict[str, dict[str, list[float]]]]
    faults: list[str]

    def add(self, who: str, measure: str, figures: dict[str, float]) -> None:
        """One round."""
        place = self.figures.setdefault(who, {}).setdefault(measure, {})
        for name, value in figures.items():
            place.setdefault(name, []).append(value)

    def spread(self, who: str, measure: str, figure: str) -> Spread | None:
        """Of one figure; None where it was not measured."""
        values = self.figures.get(who, {}).get(measure, {}).get(figure)
        return Spread(median(values), min(values), max(values)) if values else None

    def against(self, who: str, other: str, measure: str, figure: str, *, minus: bool = False) -> Spread | None:
        """The ratio to another contestant, or the difference, round by round: both met the same minute of the machine."""
        mine = self.figures.get(who, {}).get(measure, {}).get(figure, [])
        theirs = self.figures.get(other, {}).get(measure, {}).get(figure, [])
        pairs = zip(mine, theirs, strict=False)
        values = [a - b if minus else a / b for a, b in pairs]
        return Spread(median(values), min(values), max(values)) if values else None
