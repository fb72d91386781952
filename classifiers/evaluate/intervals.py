"""Exact binomial intervals (Clopper and Pearson) without scipy."""

from __future__ import annotations

import math
from dataclasses import dataclass

_HALVINGS = 60


@dataclass(frozen=True, slots=True)
class Rate:
    """``hits`` of ``total`` with the exact 95 % interval [low, high]."""

    hits: int
    total: int
    low: float
    high: float

    @property
    def value(self) -> float:
        """The observed share; 0 of nothing is 0."""
        return self.hits / self.total if self.total else 0.0

    def __str__(self) -> str:
        return f"{self.hits}/{self.total} = {self.value:.2%} [{self.low:.2%}, {self.high:.2%}]"


def at_most(hits: int, total: int, chance: float) -> float:
    """The probability of at most ``hits`` successes in ``total`` trials."""
    if chance <= 0.0:
        return 1.0
    if chance >= 1.0:
        return 1.0 if hits >= total else 0.0
    logs = (
        math.lgamma(total + 1)
        - math.lgamma(count + 1)
        - math.lgamma(total - count + 1)
        + count * math.log(chance)
        + (total - count) * math.log1p(-chance)
        for count in range(hits + 1)
    )
    return min(1.0, math.fsum(math.exp(log) for log in logs))


def _solve(hits: int, total: int, wanted: float) -> float:
    """The chance at which at most ``hits`` successes have probability ``wanted``."""
    low, high = 0.0, 1.0
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        if at_most(hits, total, middle) > wanted:
            low = middle
        else:
            high = middle
    return (low + high) / 2


def rate(hits: int, total: int) -> Rate:
    """The rate with its exact 95 % interval. Raises ValueError unless 0 <= hits <= total."""
    if not 0 <= hits <= total:
        raise ValueError(f"{hits} of {total}")
    if total == 0:
        return Rate(0, 0, 0.0, 1.0)
    low = 0.0 if hits == 0 else _solve(hits - 1, total, 0.975)
    high = 1.0 if hits == total else _solve(hits, total, 0.025)
    return Rate(hits, total, low, high)
