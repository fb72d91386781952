"""Receipts: who waits for a row is told once it is written and once it is on disk, whatever happens between."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

import pytest
from support.fake_clock import FakeClock

from gateway.ledger.base import Kind, LedgerError
from gateway.ledger.files import FileReceipt, FileSink, open_ledger
from gateway.ledger.segments import claim
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
        await asyncio.to_thread(sink._thread.join)  # it dies a moment after its rows are settled
        threading.excepthook = kept
    slot.release()
