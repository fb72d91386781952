"""How many cores this process may use, and what ``screeners: auto`` makes of them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final, Literal

QUOTA: Final = Path("/sys/fs/cgroup/cpu.max")
# The event loop needs a core for itself, and on fewer than this a process more competes with it and is no faster than a thread.
FEWEST_CORES: Final = 4
# Each process holds the weights once more.
MOST_AUTOMATIC: Final = 4


def usable_cores(quota: Path = QUOTA) -> int:
    """The cores of this process's affinity, or the container's CPU quota (cgroup v2) where that is less; at least 1."""
    try:
        cores = len(os.sched_getaffinity(0))
    except (AttributeError, OSError):
        cores = os.cpu_count() or 1
    try:
        allowed, period = quota.read_text().split()
        return max(1, min(cores, int(allowed) // int(period)))
    except (OSError, ValueError, ZeroDivisionError):  # no such file, or "max": no quota
        return cores


def processes(screeners: int | Literal["auto"], cores: int) -> int:
    """How many screener processes a setting means; 0 is threads. ``auto``: one less than the cores from 4 cores on, 4 at most."""
    if screeners != "auto":
        return screeners
    return min(cores - 1, MOST_AUTOMATIC) if cores >= FEWEST_CORES else 0
