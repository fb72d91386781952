"""A threshold for a wanted flag rate from an operator's own harmless texts, and what recall it costs.

Scores are in thousandths, as controls hold them.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from classifiers.evaluate.intervals import Rate, rate
from classifiers.rows import DataError, read_lines

TOP: Final = 1000


class CannotCalibrate(ValueError):
    """The wanted flag rate cannot be had from these texts; the message says why and what would help."""


@dataclass(frozen=True, slots=True)
class Chosen:
    """A threshold with the harmless texts that it flags; ``shipped`` is the card's. ``recall`` is None without harmful texts."""

    threshold: int
    shipped: int
    flagged: Rate
    flagged_shipped: Rate
    recall: Rate | None
    recall_shipped: Rate | None

    @property
    def looser(self) -> bool:
        """Whether it lets through what the shipped threshold blocks."""
        return self.threshold > self.shipped


def choose(benign: Sequence[float], share: float, shipped: float, harmful: Sequence[float] = ()) -> Chosen:
    """The smallest threshold at which at most ``share`` of the harmless scores are flagged. Raises CannotCalibrate."""
    enough(len(benign), share)
    scores = sorted((thousandths(score) for score in benign), reverse=True)
    threshold = max(1, scores[min(int(share * len(scores)), len(scores) - 1)] + 1)
    if threshold > TOP:
        raise CannotCalibrate("more harmless texts than that have the highest score there is: look at them first")
    card = thousandths(shipped)
    return Chosen(
        threshold,
        card,
        _reach(benign, threshold),
        _reach(benign, card),
        _reach(harmful, threshold) if harmful else None,
        _reach(harmful, card) if harmful else None,
    )


def enough(texts: int, share: float) -> None:
    """With fewer texts than 1 / ``share`` the rate cannot be seen. Raises CannotCalibrate."""
    if texts < (needed := math.ceil(1 / share)):
        raise CannotCalibrate(f"{texts} distinct harmless texts; a share of {share:g} needs at least {needed}")


def thousandths(score: float) -> int:
    """A score as controls hold it."""
    return round(score * TOP)


def _reach(scores: Sequence[float], threshold: int) -> Rate:
    return rate(sum(thousandths(score) >= threshold for score in scores), len(scores))


def read_texts(paths: Sequence[Path]) -> list[str]:
    """Distinct texts: of JSON lines (``.jsonl``, ``.gz``) their ``text``, of other files every line. Raises DataError."""
    texts = [text for path in paths for text in _texts(path) if text.strip()]
    return list(dict.fromkeys(texts))


def _texts(path: Path) -> list[str]:
    lines = read_lines(path)
    if path.suffix not in {".jsonl", ".gz"}:
        return lines
    return [_text(path, number, line) for number, line in enumerate(lines, start=1) if line.strip()]


def _text(path: Path, number: int, line: str) -> str:
    try:
        row: Any = json.loads(line)
        text = row["text"]
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path}:{number}: no object with a text: {error!r}") from error
    if not isinstance(text, str):
        raise DataError(f"{path}:{number}: the text is no string")
    return text
