"""The clock seam: monotonic time for deadlines, wall time for records. Tests hand in their own."""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    """Two times that must never be mixed."""

    def monotonic(self) -> float:
        """Seconds that only ever grow; for deadlines and durations."""

    def wall(self) -> float:
        """Seconds since the epoch, UTC; for records and expiry dates."""


class SystemClock:
    """The machine's own clocks; the functions themselves, since every chunk of a stream asks several times."""

    monotonic = staticmethod(time.monotonic)
    wall = staticmethod(time.time)
