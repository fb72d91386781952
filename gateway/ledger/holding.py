"""Continuing a chain that no gateway holds, for as long as one piece of work takes: the command line's way to put rows on record."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Callable, Mapping
from typing import TypeVar

from gateway.clock import Clock
from gateway.ledger.base import Field, Kind, LedgerError
from gateway.ledger.files import SetHead, open_ledger
from gateway.ledger.segments import Slot
from gateway.ledger.shipping import Record
from gateway.ledger.verify import Head

T = TypeVar("T")

HEAD_SECONDS = 30.0
POLL_SECONDS = 0.02


def reach(wanted: int, head: Callable[[], int]) -> None:
    """Wait, in a thread, until the head covers a row: only then does a ``pruned`` row account for anything. Raises LedgerError."""
    end = time.monotonic() + HEAD_SECONDS
    while head() < wanted:
        if time.monotonic() > end:
            raise LedgerError(f"the head of the ledger does not move to row {wanted}")
        time.sleep(POLL_SECONDS)


def hold(slot: Slot, head: Head | None, clock: Clock, set_head: SetHead, work: Callable[[Record], T]) -> T:
    """Open the chain of a slot, do the work with a way to record, and give the slot back. Raises LedgerError and what ``work`` raises."""
    return asyncio.run(_hold(slot, head, clock, set_head, work))


async def _hold(slot: Slot, head: Head | None, clock: Clock, set_head: SetHead, work: Callable[[Record], T]) -> T:
    loop = asyncio.get_running_loop()
    covered = [head[0] if head else -1]

    def moving(replica: str, sequence: int, digest: str) -> None:
        set_head(replica, sequence, digest)
        covered[0] = sequence

    try:
        sink = open_ledger(slot, secrets.token_hex(4), head, clock, moving)
    except BaseException:
        slot.release()
        raise

    def record(kind: Kind, fields: Mapping[str, Field]) -> None:
        async def put() -> None:
            await sink.append(kind, fields).durable()

        asyncio.run_coroutine_threadsafe(put(), loop).result()
        if kind is Kind.PRUNED:
            reach(sink.sequence, lambda: covered[0])

    try:
        return await asyncio.to_thread(work, record)
    finally:
        await sink.close()  # frees the slot
