"""A clock that stands still until it is told to move."""

from __future__ import annotations


class FakeClock:
    """Both times in one place; ``advance`` moves both."""

    def __init__(self, wall: float = 1_790_000_000.0) -> None:
        self.now = 1000.0
        self.epoch = wall

    def monotonic(self) -> float:
        """Seconds since some moment."""
        return self.now

    def wall(self) -> float:
        """Seconds since the epoch."""
        return self.epoch

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self.now += seconds
        self.epoch += seconds
