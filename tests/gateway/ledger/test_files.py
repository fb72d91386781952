"""The ledger on disk: group commit, faults of the disk, torn tails, restarts."""

from __future__ import annotations

import asyncio
import errno
import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from support import ledger_conformance
from support.fake_clock import FakeClock
from support.memory_ledger import MemoryLedger

from gateway.ledger import files
from gateway.ledger.base import Kind, LedgerError, Sink
from gateway.ledger.files import FileReceipt, FileSink, LedgerTampered, open_ledger
from gateway.ledger.segments import claim, segments
from gateway.ledger.verify import Chain, verify


class Heads(dict[str, tuple[int, str]]):
    """Where the store would keep the heads."""

    def set(self, replica: str, sequence: int, digest: str) -> None:
        """Remember a head."""
        self[replica] = (sequence, digest)


def open_here(tmp_path: Path, heads: Heads) -> FileSink:
    """Open the ledger of this directory as a process would."""
    slot = claim(tmp_path)
    try:
        return open_ledger(slot, "boot", heads.get(slot.replica), FakeClock(), heads.set)
    except LedgerError:
        slot.release()
        raise


@pytest.mark.parametrize("case", ledger_conformance.CASES)
@pytest.mark.parametrize("kind", ["files", "memory"])
async def test_conformance(case: Callable[[ledger_conformance.MakeSink], object], kind: str, tmp_path: Path) -> None:
    """Both sinks keep the seam's promises."""

    async def make() -> Sink:
        return open_here(tmp_path, Heads()) if kind == "files" else MemoryLedger()

    await case(make)  # type: ignore[misc]  # each case is a coroutine function


async def test_rows_survive_a_restart_in_one_chain(tmp_path: Path) -> None:
    """A second process continues where the first one stopped."""
    heads = Heads()
    for _ in range(3):
        sink = open_here(tmp_path, heads)
        receipts = [sink.append(Kind.INTENT, {"decision": f"d-{number}"}) for number in range(5)]
        await receipts[-1].durable()
        await sink.close()
    (chain,) = verify(tmp_path, heads)
    assert (chain.ok, chain.rows, chain.sequence) == (True, 15, 14)
    assert heads["r1"][0] == 14


async def test_close_writes_what_is_queued(tmp_path: Path) -> None:
    """Nothing that was accepted is lost by an orderly end."""
    heads = Heads()
    sink = open_here(tmp_path, heads)
    for number in range(3000):
        sink.append(Kind.OUTCOME, {"n": number})
    await sink.close()
    await sink.close()
    assert verify(tmp_path, heads)[0].rows == 3000


async def test_a_full_disk_refuses_loses_nothing_and_recovers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """ENOSPC in the middle of a row: the row fails, the file is as before, the next writes after a gap row."""
    heads = Heads()
    monkeypatch.setattr(files, "RETRY_SECONDS", 0.01)
    sink = open_here(tmp_path, heads)
    await sink.append(Kind.INTENT, {"decision": "d-1"}).durable()
    real = os.write
    half: list[bool] = []

    def full(descriptor: int, data: bytes) -> int:
        if not half:
            half.append(True)
            return real(descriptor, data[:20])
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "write", full)
    receipt = sink.append(Kind.INTENT, {"decision": "d-2"})
    with pytest.raises(LedgerError, match="No space"):
        await receipt.written()
    with pytest.raises(LedgerError, match="No space"):
        await receipt.durable()
    assert not sink.writable
    monkeypatch.setattr(os, "write", real)
    await sink.append(Kind.INTENT, {"decision": "d-3"}).durable()
    assert sink.writable
    await sink.close()
    (chain,) = verify(tmp_path, heads)
    text = segments(tmp_path / "r1")[0].read_text()
    assert chain.ok
    assert "d-2" not in text
    assert '"kind":"gap"' in text
    assert '"lost":1' in text


async def test_a_disk_that_comes_back_without_traffic_is_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The writer tries by itself, so that readiness recovers although nobody asks."""
    monkeypatch.setattr(files, "RETRY_SECONDS", 0.01)
    sink = open_here(tmp_path, Heads())
    monkeypatch.setattr(os, "fdatasync", lambda _descriptor: (_ for _ in ()).throw(OSError(errno.EIO, "I/O error")))
    receipt = sink.append(Kind.INTENT, {"decision": "d-1"})
    await receipt.written()
    with pytest.raises(LedgerError, match="I/O error"):
        await receipt.durable()
    assert not sink.writable
    monkeypatch.undo()
    monkeypatch.setattr(files, "RETRY_SECONDS", 0.01)
    async with asyncio.timeout(5):
        while not sink.writable:
            await asyncio.sleep(0.01)
    await sink.close()


async def test_a_waiter_that_gave_up_is_forgotten(tmp_path: Path) -> None:
    """A caller that was cancelled while it waited does not disturb the others."""
    sink = open_here(tmp_path, Heads())
    receipt = sink.append(Kind.INTENT, {})
    waiting = [asyncio.create_task(receipt.durable()) for _ in range(2)]
    await asyncio.sleep(0)
    waiting[0].cancel()
    await waiting[1]
    assert waiting[0].cancelled()
    await sink.close()


async def test_a_head_that_cannot_be_stored_does_not_stop_rows(tmp_path: Path) -> None:
    """The head only trails."""

    def broken(_replica: str, _sequence: int, _digest: str) -> None:
        raise RuntimeError("store is gone")

    sink = open_ledger(claim(tmp_path), "boot", None, FakeClock(), broken)
    await sink.append(Kind.INTENT, {"decision": "d-1"}).durable()
    assert sink.writable
    await sink.close()


@pytest.mark.parametrize("cut", range(1, 60, 7))
async def test_a_torn_tail_is_repaired(tmp_path: Path, cut: int) -> None:
    """A row cut at any byte by a crash is removed, and the chain goes on."""
    heads = Heads()
    sink = open_here(tmp_path, heads)
    await sink.append(Kind.INTENT, {"decision": "d-1"}).durable()
    await sink.close()
    path = segments(tmp_path / "r1")[0]
    whole = path.read_bytes()
    path.write_bytes(whole + whole[:cut])
    sink = open_here(tmp_path, heads)
    await sink.append(Kind.INTENT, {"decision": "d-2"}).durable()
    await sink.close()
    (chain,) = verify(tmp_path, heads)
    assert (chain.ok, chain.rows) == (True, 2)


async def test_a_chain_shorter_than_its_head_is_not_continued(tmp_path: Path) -> None:
    """Missing rows are a matter for a person, not for repair."""
    heads = Heads()
    sink = open_here(tmp_path, heads)
    await sink.append(Kind.INTENT, {"decision": "d-1"}).durable()
    await sink.append(Kind.INTENT, {"decision": "d-2"}).durable()
    await sink.close()
    path = segments(tmp_path / "r1")[0]
    path.write_bytes(path.read_bytes().splitlines(keepends=True)[0])
    with pytest.raises(LedgerTampered, match="rows are missing"):
        open_here(tmp_path, heads)


async def test_segments_turn_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full segment is followed by the next one, in the same chain, over a restart too."""
    monkeypatch.setattr(files, "SEGMENT_BYTES", 600)
    heads = Heads()
    for _ in range(2):
        sink = open_here(tmp_path, heads)
        for number in range(6):
            await sink.append(Kind.INTENT, {"decision": f"d-{number}"}).durable()
        await sink.close()
    assert len(segments(tmp_path / "r1")) > 3
    assert verify(tmp_path, heads)[0].ok


async def test_a_full_queue_refuses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The queue is bounded."""
    monkeypatch.setattr(files, "QUEUE_ROWS", 0)
    sink = open_here(tmp_path, Heads())
    with pytest.raises(LedgerError, match="full"):
        sink.append(Kind.INTENT, {})
    assert sink.depth == 0
    await sink.close()


async def test_a_dead_writer_leaves_nobody_waiting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever kills a batch, its receipts fail and the sink says that it cannot write."""
    sink = open_here(tmp_path, Heads())

    def broken(_row: object, _previous: str) -> tuple[bytes, str]:
        raise RuntimeError("no sealing today")

    monkeypatch.setattr(files, "seal", broken)
    receipt = sink.append(Kind.INTENT, {})
    with pytest.raises(LedgerError, match="no sealing"):
        await receipt.durable()
    assert not sink.writable
    monkeypatch.undo()
    await sink.close()


async def test_an_unusable_directory_is_a_typed_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Opening fails with the path in the message."""
    slot = claim(tmp_path)

    def broken(*_: object) -> int:
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(files, "segments", broken)
    with pytest.raises(LedgerError, match="Read-only"):
        open_ledger(slot, "boot", None, FakeClock(), Heads().set)
    slot.release()


async def test_rows_that_nobody_waits_for_get_to_the_disk_too(tmp_path: Path) -> None:
    """Outcome rows are written at once, and on disk without any row behind them; the head then covers them."""
    heads = Heads()
    sink = open_here(tmp_path, heads)
    receipts = [sink.append(Kind.OUTCOME, {"decision": f"d-{number}"}) for number in range(5)]
    async with asyncio.timeout(30):
        await receipts[-1].written()
        for receipt in receipts:
            await receipt.durable()
        while heads.get("r1", (-1, ""))[0] < 4:  # the first row has the number 0
            await asyncio.sleep(0.01)
    await sink.close()
    assert verify(tmp_path, heads)[0].rows == 5


async def test_an_intent_takes_the_outcomes_before_it_along(tmp_path: Path) -> None:
    """What is durable is so with everything before it in the chain."""
    sink = open_here(tmp_path, Heads())
    before = sink.append(Kind.OUTCOME, {"decision": "d-1"})
    await before.written()
    await sink.append(Kind.INTENT, {"decision": "d-2"}).durable()
    assert before.settle(2, None) is False  # reached already, with nobody waiting
    async with asyncio.timeout(30):
        await before.durable()
    await sink.close()


@pytest.mark.parametrize("error", [None, LedgerError("full")])
async def test_a_receipt_is_settled_before_or_after_somebody_waits(error: LedgerError | None) -> None:
    """Whoever waits first, and whoever comes when it is over, ends alike: with the stage, or with the error."""

    async def ends(receipt: FileReceipt) -> bool:
        try:
            await receipt.durable()
        except LedgerError:
            return False
        return True

    receipt = FileReceipt(asyncio.get_running_loop())
    waiting = asyncio.ensure_future(ends(receipt))
    await asyncio.sleep(0)
    assert receipt.settle(1, None)
    receipt.wake()
    await asyncio.sleep(0)
    assert not waiting.done()
    assert receipt.settle(2 if error is None else 0, error)
    receipt.wake()
    assert await asyncio.wait_for(waiting, 30) is (error is None)
    assert await asyncio.wait_for(ends(receipt), 30) is (error is None)
    assert not receipt.settle(2 if error is None else 0, error)  # nobody is left to be woken


class Raced(FileReceipt):
    """The ledger's thread settles the last stage right after the loop's has found it pending."""

    __slots__ = ("seen",)

    def _pending(self, stage: int) -> bool:
        pending = super()._pending(stage)
        if pending and hasattr(self, "seen") and not self.seen:
            self.seen.append(self.settle(2, None))
        return pending


async def test_a_stage_reached_while_the_loop_wakes_others_is_not_missed() -> None:
    """Whoever still waits can be seen by the ledger's thread at every moment, so that it is always woken."""
    receipt = Raced(asyncio.get_running_loop())
    waiting = asyncio.ensure_future(receipt.durable())
    await asyncio.sleep(0)
    assert receipt.settle(1, None)
    receipt.seen = []
    receipt.wake()
    assert receipt.seen == [True]
    receipt.wake()
    await asyncio.wait_for(waiting, 30)


async def test_a_thread_that_dies_leaves_nobody_waiting(tmp_path: Path) -> None:
    """Rows that were written and not yet on disk end with an error too, when the thread ends in a way that nobody thought of."""

    class Died(BaseException):
        pass

    class Dying(FileSink):
        def _patience(self) -> float | None:
            if self._unsynced:
                raise Died
            return super()._patience()

    slot = claim(tmp_path)
    sink = Dying(slot, "boot", Chain("r1"), FakeClock(), Heads().set)
    threading.excepthook, kept = (lambda _: None), threading.excepthook
    try:
        receipt = sink.append(Kind.OUTCOME, {"decision": "d-1"})
        with pytest.raises(LedgerError):
            await asyncio.wait_for(receipt.durable(), 30)
    finally:
        threading.excepthook = kept
    slot.release()
