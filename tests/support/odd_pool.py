"""Pools of odd screeners, and waiting for processes."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path

from classifiers.fleet import Fleet, Pace
from classifiers.screeners import Screeners
from support.odd_screener import CANARIES, CARD, odd

# Silence is not mistaken for a hang on a busy machine; where a test is about hanging, it is one after three seconds.
QUICK = Pace(beat=0.05, hung=2000, first_pause=0.01, longest_pause=0.05)
HASTY = Pace(beat=0.05, hung=60, first_pause=0.01, longest_pause=0.05)


@contextlib.asynccontextmanager
async def pool(folder: Path, count: int = 2, pace: Pace = QUICK, start: str = "good") -> AsyncIterator[Screeners]:
    """Odd screeners that are up."""
    made = Screeners(Fleet(CARD, CANARIES, odd(folder, start), count, pace))
    await made.open()
    try:
        yield made
    finally:
        await made.close()


async def until(holds: Callable[[], object]) -> None:
    """Wait for a process."""
    async with asyncio.timeout(60):
        while not holds():
            await asyncio.sleep(0.02)


def gone(pid: int) -> bool:
    """Whether a process has ended, be it reaped or not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True
