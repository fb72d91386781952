"""The ledger on disk: one writer thread, group commit, and repair of a torn tail.

The event loop only appends to a queue. The thread takes all that is waiting, seals the rows, writes them with one call (``written``),
syncs them with one ``fdatasync`` (``durable``), and then moves the head in the store. What the head covers is never repaired away.

Rows that no answer waits for are synced with those that come next, at the latest after ``LAZY_SECONDS``, and the head moves at most once in
``HEAD_SECONDS`` while rows keep coming: both would make the next exchange wait for a disk that is busy with the last one.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import queue
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from gateway.clock import Clock
from gateway.ledger.base import Field, Kind, LedgerError
from gateway.ledger.reading import begins
from gateway.ledger.rows import RESERVED, VERSION, RowInvalid, canonical, seal
from gateway.ledger.segments import Slot, plain, segment, segments, sync_directory
from gateway.ledger.tail import verify_tail
from gateway.ledger.verify import Chain

SEGMENT_BYTES = 64 * 1024 * 1024
SEGMENT_SECONDS = 86_400.0
QUEUE_ROWS = 20_000
BATCH_ROWS = 1024
RETRY_SECONDS = 1.0
LAZY_SECONDS = 0.05
HEAD_SECONDS = 0.1
LAZY = frozenset({Kind.OUTCOME.value, Kind.REFUSALS.value})  # nobody waits until these are on disk

SetHead = Callable[[str, int, str], None]


class LedgerTampered(LedgerError):
    """The chain on disk is not the one that was written; only a person can decide what to do (exit code 6)."""


class FileReceipt:
    """A row on its way. The ledger's thread settles it, the loop's waits: each writes first and looks at the other's part then."""

    __slots__ = ("_error", "_loop", "_stage", "_waiters")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._stage = 0
        self._error: LedgerError | None = None
        self._waiters: list[tuple[int, asyncio.Future[None]]] = []

    async def written(self) -> None:
        """Handed to the operating system."""
        await self._wait(1)

    async def durable(self) -> None:
        """On disk."""
        await self._wait(2)

    async def _wait(self, stage: int) -> None:
        if self._pending(stage):
            future: asyncio.Future[None] = self._loop.create_future()
            self._waiters.append((stage, future))
            if self._pending(stage):  # else it was settled meanwhile, perhaps before anybody waited
                await future
        if self._stage < stage and self._error is not None:
            raise LedgerError(str(self._error))

    def _pending(self, stage: int) -> bool:
        return self._stage < stage and self._error is None

    def settle(self, stage: int, error: LedgerError | None) -> bool:
        """The row reached a stage, or will reach no further one. In the ledger's thread; True when somebody may wait for it."""
        if error is None:
            self._stage = stage
        self._error = error
        return bool(self._waiters)

    def wake(self) -> None:
        """In the loop's thread: whoever waits for what was settled goes on."""
        for wanted, future in self._waiters:
            if not self._pending(wanted) and not future.done():
                future.set_result(None)
        # Who still waits is in the old list as in the new one: the ledger's thread never finds it missing.
        self._waiters = [waiter for waiter in self._waiters if not waiter[1].done()]


@dataclass(frozen=True, slots=True)
class Item:
    """A row in the queue."""

    fields: dict[str, Field]
    receipt: FileReceipt


class FileSink:
    """The ledger of one process. Make it with ``open_ledger``."""

    def __init__(
        self,
        slot: Slot,
        boot: str,
        chain: Chain,
        clock: Clock,
        set_head: SetHead,
        *,
        segment_seconds: float = SEGMENT_SECONDS,
    ) -> None:
        self._slot, self._boot, self._clock, self._set_head = slot, boot, clock, set_head
        self._segment_ms = int(segment_seconds * 1000)
        self._sequence, self._digest, self._time_ms = chain.sequence, chain.digest, chain.time_ms
        self._queue: queue.SimpleQueue[Item | None] = queue.SimpleQueue()
        self._loop = asyncio.get_running_loop()
        self._closed = False
        self._writable = True
        self._lost = 0
        self._unsynced: list[Item] = []
        self._head = (chain.sequence, 0.0)  # what the head covers, and when it was moved
        self._file, self._size = self._open_segment()
        self._thread = threading.Thread(target=self._run, name="ledger", daemon=True)
        self._thread.start()

    @property
    def replica(self) -> str:
        """The name of this chain."""
        return self._slot.replica

    @property
    def writable(self) -> bool:
        """Whether the last write succeeded and the thread lives."""
        return self._writable and self._thread.is_alive()

    @property
    def sequence(self) -> int:
        """Of the last row that was written; once a row's receipt says so, of that row or a later one."""
        return self._sequence

    @property
    def accepting(self) -> bool:
        """Always: space is watched by a sink over this one."""
        return True

    @property
    def depth(self) -> int:
        """Rows waiting."""
        return self._queue.qsize()

    def append(self, kind: Kind, fields: Mapping[str, Field]) -> FileReceipt:
        """Queue a row. Raises LedgerError when closed, full or without its thread; ValueError for a row that cannot be one."""
        if self._closed or not self._thread.is_alive():
            raise LedgerError("the ledger is closed")
        if self._queue.qsize() >= QUEUE_ROWS:
            raise LedgerError("the ledger's queue is full")
        if clash := RESERVED & fields.keys():
            raise RowInvalid(f"reserved keys: {sorted(clash)}")
        row = {**fields, "v": VERSION, "replica": self.replica, "boot": self._boot, "kind": kind.value}
        row["time_ms"] = int(self._clock.wall() * 1000)
        canonical(row)
        receipt = FileReceipt(self._loop)
        self._queue.put(Item(row, receipt))
        return receipt

    async def close(self) -> None:
        """Write what is queued, sync, stop the thread, free the slot."""
        if self._closed:
            return
        self._closed = True
        self._queue.put(None)
        await asyncio.to_thread(self._thread.join)
        os.close(self._file)
        self._slot.release()

    def _run(self) -> None:
        """The writer thread. However it ends, nobody waits for a row that will never be written."""
        try:
            closing = False
            while not closing:
                try:
                    first = self._queue.get(timeout=self._patience())
                except queue.Empty:
                    self._commit([])
                    self._move_head(0.0)
                    continue
                batch, closing = self._gather(first)
                if batch:
                    self._commit(batch)
            self._sync()
            self._move_head(0.0)
        finally:
            self._closed = True
            left, _ = self._gather(self._queue.get()) if self._queue.qsize() else ([], True)
            self._tell([*self._unsynced, *left], 0, LedgerError("the ledger is closed"))

    def _gather(self, first: Item | None) -> tuple[list[Item], bool]:
        batch: list[Item] = []
        item = first
        while item is not None:
            batch.append(item)
            if len(batch) >= BATCH_ROWS:
                return batch, False
            try:
                item = self._queue.get_nowait()
            except queue.Empty:
                return batch, False
        return batch, True

    def _patience(self) -> float | None:
        """How long to wait for the next row before something is due."""
        if not self._writable:
            return RETRY_SECONDS
        if self._unsynced:
            return LAZY_SECONDS
        return HEAD_SECONDS if self._head[0] < self._sequence else None

    def _commit(self, batch: list[Item]) -> None:
        try:
            self._write(batch)
        except Exception as error:  # noqa: BLE001  # whatever is wrong, these rows are not written and must not be waited for
            self._fail(batch, error)
            return
        self._unsynced += batch
        self._tell(batch, 1, None)
        lazy = self._writable and batch and all(item.fields["kind"] in LAZY for item in batch)
        if not lazy or len(self._unsynced) >= BATCH_ROWS:
            self._sync()
            self._move_head(HEAD_SECONDS)

    def _sync(self) -> None:
        batch, self._unsynced = self._unsynced, []
        try:
            os.fdatasync(self._file)
        except OSError as error:
            self._fail(batch, error)
            return
        self._writable = True
        self._tell(batch, 2, None)

    def _move_head(self, pause: float) -> None:
        """Move the head to the last row on disk, unless it was moved a moment ago."""
        now, (covered, moved) = self._clock.monotonic(), self._head
        if self._unsynced or not self._writable or covered == self._sequence or now < moved + pause:
            return
        # The head only trails: the rows are safe without it, and the next move covers them too.
        self._head = (self._sequence, now)
        with contextlib.suppress(Exception):
            self._set_head(self.replica, self._sequence, self._digest)

    def _write(self, batch: list[Item]) -> None:
        """Seal and write; the chain moves on only when all of it is in the file. Raises OSError with the file as it was."""
        sequence, digest, time_ms, sealed = self._sequence, self._digest, self._time_ms, []
        rows = [item.fields for item in batch]
        if self._lost:
            rows.insert(0, self._gap())
        for row in rows:
            sequence += 1
            time_ms = max(time_ms, int(row["time_ms"]))  # a clock that is set back does not take the chain with it
            line, digest = seal({**row, "seq": sequence, "time_ms": time_ms}, digest)
            sealed.append(line)
        if self._full():
            os.fdatasync(self._file)  # nothing comes after a segment that is not whole on disk
            fresh = self._begin_segment()
            os.close(self._file)
            self._file, self._size = fresh, 0
            self._opened_ms = int(self._clock.wall() * 1000)
        self._put(b"".join(sealed))
        self._sequence, self._digest, self._time_ms, self._lost = sequence, digest, time_ms, 0

    def _gap(self) -> dict[str, Field]:
        return {
            "v": VERSION,
            "replica": self.replica,
            "boot": self._boot,
            "kind": Kind.GAP.value,
            "time_ms": int(self._clock.wall() * 1000),
            "lost": self._lost,
        }

    def _put(self, data: bytes) -> None:
        written = 0
        try:
            while written < len(data):
                written += os.write(self._file, data[written:])
        except OSError:
            os.ftruncate(self._file, self._size)  # no half row stays behind; truncating needs no space
            raise
        self._size += len(data)

    def _fail(self, batch: list[Item], error: Exception) -> None:
        self._writable = False
        self._lost += len(batch)
        self._tell(batch, 0, LedgerError(f"the ledger cannot be written: {error}"))

    def _tell(self, batch: list[Item], stage: int, error: LedgerError | None) -> None:
        """Settle rows, and wake the loop where somebody waits: most rows reach the disk before anybody asks."""
        awaited = [item.receipt for item in batch if item.receipt.settle(stage, error)]

        def wake() -> None:
            for receipt in awaited:
                receipt.wake()

        if awaited and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(wake)

    def _full(self) -> bool:
        """Whether the next row begins a new segment: this one is large, or old, and not empty."""
        return self._size >= SEGMENT_BYTES or (
            self._size > 0 and self._clock.wall() * 1000 - self._opened_ms >= self._segment_ms
        )

    def _open_segment(self) -> tuple[int, int]:
        """Continue the last segment while it is open for more; one that is compressed is not."""
        files = segments(self._slot.directory)
        self._opened_ms = int(self._clock.wall() * 1000)
        if not files or files[-1] != plain(files[-1]):
            return self._begin_segment(), 0
        self._opened_ms = begins(files[-1]) or self._opened_ms
        file = os.open(files[-1], os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
        return file, os.fstat(file).st_size

    def _begin_segment(self) -> int:
        path = segment(self._slot.directory, self._sequence + 1)
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            sync_directory(self._slot.directory)
        except OSError:
            os.close(file)
            raise
        return file


def open_ledger(
    slot: Slot,
    boot: str,
    head: tuple[int, str] | None,
    clock: Clock,
    set_head: SetHead,
    *,
    segment_seconds: float = SEGMENT_SECONDS,
) -> FileSink:
    """Check the end of a slot's chain, repair a torn tail beyond its head, and continue it. Needs a running loop.

    ``segment_seconds``: how old a segment may grow before the next row begins another one.

    Raises LedgerTampered when the chain is broken or shorter than its head, LedgerError when it cannot be opened.
    """
    try:
        chain = verify_tail(slot.directory, head)
        if not chain.ok:
            fault = chain.faults[0]
            raise LedgerTampered(f"{slot.directory / fault.file}:{fault.line}: {fault.message}")
        if chain.torn is not None:
            _cut(chain.torn.file, chain.torn.offset)
        return FileSink(slot, boot, chain, clock, set_head, segment_seconds=segment_seconds)
    except OSError as error:
        raise LedgerError(f"{slot.directory}: {error.strerror}") from error


def _cut(path: Path, size: int) -> None:
    """Remove a torn line: a row that was never on record as written."""
    with path.open("r+b") as file:
        file.truncate(size)
        os.fsync(file.fileno())
