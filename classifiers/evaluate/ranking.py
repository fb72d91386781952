"""How well scores order texts: the area under the ROC curve, and the curve's points."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Area:
    """The chance that a positive scores above a negative (ties count half), with a 95 % interval (Hanley and McNeil)."""

    value: float
    low: float
    high: float
    positives: int
    negatives: int


def area(positives: Sequence[float], negatives: Sequence[float]) -> Area | None:
    """The area under the ROC curve; None where one side is empty."""
    n, m = len(positives), len(negatives)
    if not n or not m:
        return None
    ordered = np.sort(np.asarray(negatives, dtype=np.float64))
    values = np.asarray(positives, dtype=np.float64)
    below = np.searchsorted(ordered, values, side="left")
    up_to = np.searchsorted(ordered, values, side="right")
    found = float((below + up_to).sum() / 2.0 / n / m)
    spread = _deviation(found, n, m)
    return Area(found, max(0.0, found - 1.96 * spread), min(1.0, found + 1.96 * spread), n, m)


def _deviation(value: float, n: int, m: int) -> float:
    one, other = value / (2.0 - value), 2.0 * value**2 / (1.0 + value)
    variance = value * (1 - value) + (n - 1) * (one - value**2) + (m - 1) * (other - value**2)
    return float(np.sqrt(max(0.0, variance / (n * m))))


def curve(positives: Sequence[float], negatives: Sequence[float]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Shares of negatives and of positives at or above each threshold, from the strictest on; both begin with 0."""
    thresholds = np.unique(np.concatenate([positives, negatives]))[::-1]

    def shares(scores: Sequence[float]) -> NDArray[np.float64]:
        ordered = np.sort(np.asarray(scores, dtype=np.float64))
        above = len(ordered) - np.searchsorted(ordered, thresholds, side="left")
        return np.concatenate([[0.0], above / len(ordered)])

    return shares(negatives), shares(positives)
