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
    """``figures[contestant][measure][figure][round]`` is a value; a round that failed has none."""

    setting: dict[str, str]
    figures: dict[str, dict[str, dict[str, dict[int, float]]]]
    faults: list[str]

    def add(self, who: str, measure: str, number: int, figures: dict[str, float]) -> None:
        """One round."""
        place = self.figures.setdefault(who, {}).setdefault(measure, {})
        for name, value in figures.items():
            place.setdefault(name, {})[number] = value

    def spread(self, who: str, measure: str, figure: str) -> Spread | None:
        """Of one figure; None where it was not measured."""
        return _spread(list(self._rounds(who, measure, figure).values()))

    def against(self, who: str, other: str, measure: str, figure: str, *, minus: bool = False) -> Spread | None:
        """The ratio to another contestant, or the difference, round by round: both met the same minute of the machine."""
        mine, theirs = self._rounds(who, measure, figure), self._rounds(other, measure, figure)
        both = [(mine[number], theirs[number]) for number in mine if number in theirs]
        return _spread([a - b if minus else a / b for a, b in both])

    def _rounds(self, who: str, measure: str, figure: str) -> dict[int, float]:
        return self.figures.get(who, {}).get(measure, {}).get(figure, {})


def _spread(values: list[float]) -> Spread | None:
    return Spread(median(values), min(values), max(values)) if values else None
