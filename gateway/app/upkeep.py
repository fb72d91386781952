"""What keeps a ledger going for months: space is watched, sealed segments are compressed, every row is verified, expired segments go.

Nothing of it is on the request path: files are worked on by one thread of low priority, rows are verified in a process of its own.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import structlog

from gateway.app.auditor import audit
from gateway.clock import Clock
from gateway.ledger.base import Field, Kind, LedgerError
from gateway.ledger.holding import reach
from gateway.ledger.pressure import Growth, Look, disk_space, fraction, ledger_bytes, room, step
from gateway.ledger.pruning import ASKED, prune
from gateway.ledger.retention import Retention, candidates
from gateway.ledger.sealing import seal_segments, unsealed
from gateway.ledger.segments import chains, take
from gateway.ledger.shipping import record_shipments
from gateway.ledger.summaries import Summarising
from gateway.ledger.verify import Chain, Fault
from gateway.metrics import Metrics
from gateway.settings.model import LedgerSettings
from gateway.state.base import Head, StoreError

WATCH_SECONDS = 1.0
TEND_SECONDS = 30.0
# A gateway that was just started has better things to do; one that lives shorter has verified its tail.
FIRST_AUDIT_SECONDS = 5.0
# After a verification that could not be done.
RETRY_SECONDS = 600.0
NICE = 10

log = structlog.get_logger("asl_gateway")


@dataclass(frozen=True, slots=True)
class Place:
    """Whose upkeep this is: the directory of all chains, the chain of this process, and where its last row, heads and retention stand."""

    root: Path
    replica: str
    head: Callable[[str], Head | None]
    sequence: Callable[[], int]
    retention: Callable[[], Retention]


class Upkeep:
    """Made with the running loop; ``close`` before the ledger is closed."""

    def __init__(
        self,
        place: Place,
        sink: Summarising,
        settings: LedgerSettings,
        metrics: Metrics,
        clock: Clock,
        look: Look = disk_space,
    ) -> None:
        """Looks at the disk once, so that the first exchange already meets the right pressure."""
        self.faults: dict[str, list[Fault]] = {}
        self._place, self._sink, self._settings = place, sink, settings
        self._metrics, self._clock, self._look = metrics, clock, look
        self._loop = asyncio.get_running_loop()
        self._thread = ThreadPoolExecutor(1, "ledger-upkeep", initializer=_be_nice)
        self._stopping = threading.Event()
        self._growth = Growth()
        self._began = clock.wall(), clock.monotonic()
        self._due = clock.monotonic() + FIRST_AUDIT_SECONDS
        self.sample()

    @property
    def broken(self) -> bool:
        """Whether the last verification found a fault in this chain or one that nobody holds."""
        return bool(self.faults)

    async def watch(self) -> None:
        """Follow the space for ever."""
        while True:
            await asyncio.sleep(WATCH_SECONDS)
            await self._loop.run_in_executor(None, self.sample)
            self._sink.flush(before=int(self._clock.wall()))

    async def tend(self) -> None:
        """Compress, ship, verify and prune for ever."""
        while True:
            await asyncio.sleep(max(0.0, min(TEND_SECONDS, self._due - self._clock.monotonic())))
            try:
                await self.once()
            except (OSError, LedgerError, StoreError) as error:  # tried again next time; what was there still is
                log.error("ledger_upkeep_failed", error=type(error).__name__, detail=str(error))

    def sample(self) -> None:
        """Look at the space, set pressure and gauges. A disk that cannot be asked leaves them as they are: writing will tell."""
        root, most = self._place.root, self._settings.max_bytes
        try:
            space, held = self._look(root), ledger_bytes(root)
        except OSError as error:
            log.error("ledger_space_unknown", detail=str(error))
            return
        full, before = fraction(space, held, most), self._sink.pressure
        self._sink.pressure = step(before, full)
        if self._sink.pressure is not before:
            log.warning("ledger_pressure", pressure=self._sink.pressure.name.lower(), full=round(full, 3))
        now = self._clock.monotonic()
        self._growth.add(now, held)
        self._metrics.set("ledger_days_to_full", self._growth.days(now, held, room(space, held, most)))
        self._metrics.set("ledger_pressure", self._sink.pressure)

    async def once(self) -> None:
        """One round: files first; all rows when it is time or somebody asked."""
        own = self._place.root / self._place.replica
        try:
            await self._loop.run_in_executor(self._thread, self._files, own)
        except (OSError, LedgerError) as error:  # such as no space to compress in, which pruning may make
            log.error("ledger_upkeep_failed", error=type(error).__name__, detail=str(error))
        asked = await self._loop.run_in_executor(self._thread, (own / ASKED).exists)
        if asked or self._clock.monotonic() >= self._due:
            self._due = self._clock.monotonic() + RETRY_SECONDS
            await self._verify(own, asked=asked)
            self._due = self._clock.monotonic() + self._settings.verify_every

    def _files(self, own: Path) -> None:
        seal_segments(own, self._stopping.is_set)
        record_shipments(own, self._record)
        for directory in chains(self._place.root):
            if directory == own or self._stopping.is_set():
                continue
            # A chain that nobody continues now; its slot is not taken for nothing, since whoever starts meanwhile would begin another.
            if unsealed(directory) and (slot := take(directory)):
                try:
                    seal_segments(directory, self._stopping.is_set)
                finally:
                    slot.release()

    async def _verify(self, own: Path, *, asked: bool) -> None:
        faults: dict[str, list[Fault]] = {}
        for directory in chains(self._place.root):
            if directory != own and not _idle(directory):
                continue  # its own process does
            head = await asyncio.to_thread(self._place.head, directory.name)
            chain = await audit(directory, (head.sequence, head.digest) if head else None)
            if not _sound(directory, chain):
                faults[chain.replica] = chain.faults
            if directory == own:
                await self._loop.run_in_executor(self._thread, self._prune, chain, asked)
        self.faults = faults
        if not faults:
            self._metrics.set("ledger_verified_timestamp_seconds", self._clock.wall())

    def _prune(self, chain: Chain, asked: bool) -> None:  # called through an executor, which has no keywords
        own, mode = self._place.root / self._place.replica, self._settings.prune
        if asked or mode != "none":
            now_ms = int(self._now() * 1000)
            shipped = asked or mode == "shipped"
            gone = prune(own, candidates(chain, own, self._place.retention(), now_ms, shipped=shipped), self._record)
            if gone:
                log.warning("ledger_pruned", replica=chain.replica, segments=gone)
        (own / ASKED).unlink(missing_ok=True)

    def _now(self) -> float:
        """The wall clock, but no later than this process has lived to see: a clock that jumps a year ahead expires nothing."""
        wall, monotonic = self._began
        return min(self._clock.wall(), wall + self._clock.monotonic() - monotonic)

    def _record(self, kind: Kind, fields: Mapping[str, Field]) -> None:
        """A row on disk, from the thread. Raises LedgerError."""
        if self._stopping.is_set():
            raise LedgerError("the gateway is stopping")

        async def put() -> None:
            await self._sink.append(kind, fields).durable()

        asyncio.run_coroutine_threadsafe(put(), self._loop).result()
        if kind is Kind.PRUNED:
            reach(self._place.sequence(), self._covered)
        self._loop.call_soon_threadsafe(self._metrics.count, "ledger_rows_total", kind.value)

    def _covered(self) -> int:
        """The last row that the head covers. Raises LedgerError when nobody will wait for it any more."""
        if self._stopping.is_set():
            raise LedgerError("the gateway is stopping")
        head = self._place.head(self._place.replica)
        return head.sequence if head else -1

    async def close(self) -> None:
        """Finish the step at hand: nobody works on the files of a chain that is no longer held."""
        self._stopping.set()
        await asyncio.to_thread(self._thread.shutdown)


def _sound(directory: Path, chain: Chain) -> bool:
    """Whether a chain has no faults; either way it is said."""
    if chain.ok:
        log.info("ledger_verified", replica=chain.replica, rows=chain.rows)
    for fault in chain.faults:
        log.critical("ledger_broken", file=str(directory / fault.file), line=fault.line, detail=fault.message)
    return chain.ok


def _idle(directory: Path) -> bool:
    slot = take(directory)
    if slot is not None:
        slot.release()
    return slot is not None


def _be_nice() -> None:
    with contextlib.suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICE)
