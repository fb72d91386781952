"""A debug hook that measures every step of an event loop: off unless ``ASL_GATEWAY_LOOP_LAG`` names a file for its report.

A step is measured as CPU time of the loop's own thread, so a loaded machine, and threads that hold the GIL, do not count:
what is left is the work that our code did between two turns of the loop, garbage collection included.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import heapq
import json
import threading
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ENVIRONMENT = "ASL_GATEWAY_LOOP_LAG"
BOUNDS_MS = (0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 50.0, 100.0)
SLOWEST = 12


@dataclass(slots=True)
class Lag:
    """What was measured: steps by duration (the last count is beyond the last bound), and the slowest by name."""

    counts: list[int] = field(default_factory=lambda: [0] * (len(BOUNDS_MS) + 1))
    slowest: list[tuple[float, int, str]] = field(default_factory=list)
    collections: list[float] = field(
        default_factory=list
    )  # milliseconds of the collector's longest runs on the loop's thread

    @property
    def steps(self) -> int:
        """All steps so far."""
        return sum(self.counts)

    @property
    def worst_ms(self) -> float:
        """The slowest step, in milliseconds."""
        return max(self.slowest)[0] if self.slowest else 0.0

    def took(self, milliseconds: float, handle: Any) -> None:
        """One step more."""
        place = next((at for at, bound in enumerate(BOUNDS_MS) if milliseconds <= bound), len(BOUNDS_MS))
        self.counts[place] += 1
        if len(self.slowest) < SLOWEST:
            heapq.heappush(self.slowest, (milliseconds, self.steps, name_of(handle)))
        elif milliseconds > self.slowest[0][0]:
            heapq.heapreplace(self.slowest, (milliseconds, self.steps, name_of(handle)))

    def collected(self, milliseconds: float) -> None:
        """The garbage collector ran inside of some step."""
        if len(self.collections) < SLOWEST:
            heapq.heappush(self.collections, milliseconds)
        else:
            heapq.heappushpop(self.collections, milliseconds)

    def clear(self) -> None:
        """Begin anew, such as after start-up."""
        self.counts[:] = [0] * len(self.counts)
        self.slowest.clear()
        self.collections.clear()

    def report(self) -> str:
        """One JSON document: ``bounds_ms``, ``counts``, ``slowest`` as pairs of milliseconds and name, and ``collections``."""
        slowest = [[round(took, 3), name] for took, _, name in sorted(self.slowest, reverse=True)]
        collections = [round(took, 3) for took in sorted(self.collections, reverse=True)]
        found = {"bounds_ms": BOUNDS_MS, "counts": self.counts, "slowest": slowest, "collections": collections}
        return json.dumps(found)


class _Step:
    """A handle of the loop that is timed while it runs."""

    __slots__ = ("_cancelled", "_handle", "_lag")

    def __init__(self, handle: Any, lag: Lag) -> None:
        self._handle, self._lag = handle, lag
        self._cancelled = handle._cancelled  # noqa: SLF001  # what the loop itself reads of a handle

    def _run(self) -> None:
        before = time.thread_time()
        self._handle._run()  # noqa: SLF001  # as the loop does
        self._lag.took((time.thread_time() - before) * 1000, self._handle)


class _Ready(deque[Any]):
    """The loop's queue of handles that may run now; each comes out timed."""

    def __init__(self, lag: Lag) -> None:
        super().__init__()
        self._lag = lag

    def popleft(self) -> Any:
        return _Step(super().popleft(), self._lag)


class LagLoop(asyncio.SelectorEventLoop):
    """asyncio's own loop with every callback timed. uvloop runs its callbacks in C, where nothing can be put around them."""

    def __init__(self) -> None:
        super().__init__()
        self.lag = Lag()
        self._ready = _Ready(self.lag)
        self._thread, self._collecting = threading.get_ident(), 0.0
        gc.callbacks.append(self._collected)

    def close(self) -> None:
        """Close the loop, and look at the collector no longer."""
        super().close()
        with contextlib.suppress(ValueError):
            gc.callbacks.remove(self._collected)

    def _collected(self, phase: str, _: Mapping[str, int]) -> None:
        if threading.get_ident() != self._thread:
            return
        now = time.thread_time()
        if phase == "stop":
            self.lag.collected((now - self._collecting) * 1000)
        self._collecting = now


def lag_file(environment: Mapping[str, str]) -> Path | None:
    """Where the report goes, or None where nothing is measured."""
    name = environment.get(ENVIRONMENT)
    return Path(name) if name else None


def name_of(handle: Any) -> str:
    """What a handle ran: a callback, or the coroutine of a task with the place where it waits now."""
    callback = getattr(handle, "_callback", None)
    task = getattr(callback, "__self__", None)
    if not isinstance(task, asyncio.Task):
        return getattr(callback, "__qualname__", None) or repr(callback)
    names: list[str] = []
    waiting: Any = task.get_coro()
    while waiting is not None:
        names.append(getattr(waiting, "__qualname__", type(waiting).__name__))
        waiting = getattr(waiting, "cr_await", None) or getattr(waiting, "ag_await", None)
    return " > ".join(names)
