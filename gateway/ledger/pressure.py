"""How full the ledger's place is: what is given up at which fraction, with hysteresis, and how long it will last.

Content stops at 80 %, exchanges of low levels are recorded by count from 90 %, and new exchanges are refused from 97 %: what is left then
belongs to the rows of exchanges in flight and of what people do (a brake can always be raised).
"""

from __future__ import annotations

import contextlib
import math
import os
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import IntEnum
from pathlib import Path


class Pressure(IntEnum):
    """What is given up; each keeps the ones before it."""

    NONE = 0
    CONTENT = 1
    SUMMARY = 2
    REFUSE = 3


THRESHOLDS = {Pressure.CONTENT: 0.80, Pressure.SUMMARY: 0.90, Pressure.REFUSE: 0.97}
# So much below its threshold a step is taken back: a disk at the edge does not switch every second.
RELIEF = 0.02
GROWTH_SECONDS = 86_400.0
# A shorter past says little about the future.
LEAST_SECONDS = 600.0
SAMPLES = 288


@dataclass(frozen=True, slots=True)
class Space:
    """A file system as ``df`` counts it: bytes used, and bytes that an ordinary user may still take."""

    used: int
    free: int


Look = Callable[[Path], Space]


def disk_space(path: Path) -> Space:
    """The file system of a path. Raises OSError."""
    found = os.statvfs(path)
    return Space((found.f_blocks - found.f_bfree) * found.f_frsize, found.f_bavail * found.f_frsize)


def ledger_bytes(root: Path) -> int:
    """Bytes of all files of all chains. Files that vanish meanwhile count for nothing."""
    total = 0
    for directory in root.iterdir():
        if directory.is_dir():
            for entry in os.scandir(directory):
                with contextlib.suppress(FileNotFoundError):
                    total += entry.stat(follow_symlinks=False).st_size
    return total


def fraction(space: Space, held: int, most: int | None) -> float:
    """How full: of the disk, or, with ``most``, of the bytes that the ledger may hold, or of what the disk has room for if that is less."""
    if most is None:
        return space.used / max(1, space.used + space.free)
    return held / max(1, min(most, held + space.free))


def room(space: Space, held: int, most: int | None) -> int:
    """Bytes that the ledger may still grow by."""
    return space.free if most is None else max(0, min(most - held, space.free))


def step(current: Pressure, full: float) -> Pressure:
    """The pressure now: up at once, down only with some relief."""
    up = max((level for level, least in THRESHOLDS.items() if full >= least), default=Pressure.NONE)
    kept = (level for level, least in THRESHOLDS.items() if level <= current and full >= least - RELIEF)
    return max(up, max(kept, default=Pressure.NONE))


@dataclass(slots=True)
class Growth:
    """What the ledger held over the last day, compression and pruning included."""

    samples: deque[tuple[float, int]] = field(default_factory=lambda: deque(maxlen=SAMPLES + 1))

    def add(self, now: float, held: int) -> None:
        """A sample at a monotonic time; closer ones than a day over ``SAMPLES`` are left out."""
        if not self.samples or now - self.samples[-1][0] >= GROWTH_SECONDS / SAMPLES:
            self.samples.append((now, held))

    def days(self, now: float, held: int, left: int) -> float:
        """Days until ``left`` bytes are filled; infinite while the past is too short to tell, or shows no growth."""
        if not self.samples or now - self.samples[0][0] < LEAST_SECONDS or held <= self.samples[0][1]:
            return math.inf
        began, before = self.samples[0]
        return left * (now - began) / (held - before) / 86_400
