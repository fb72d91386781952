"""Continuing a chain that no gateway holds, for as long as one piece of work takes: the command line's way to put rows on record."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Mapping
from typing import TypeVar

from gateway.clock import Clock
from gateway.ledger.base import Field, Kind
from gateway.ledger.files import SetHead, open_ledger
from gateway.ledger.segments import Slot
from gateway.ledger.shipping import Record
from gateway.ledger.verify import Head

T = TypeVar("T")


def hold(slot: Slot, head: Head | None, clock: Clock, set_head: SetHead, work: Callable[[Record], T]) -> T:
    """Open the chain of a slot, do the work with a way to record, and give the slot back. Raises LedgerError and what ``work`` raises."""
    return asyncio.run(_hold(slot, head, clock, set_head, work))


async def _hold(slot: Slot, head: Head | None, clock: Clock, set_head: SetHead, work: Callable[[Record], T]) -> T:
    loop = asyncio.get_running_loop()
    try:
        sink = open_ledger(slot, secrets.token_hex(4), head, clock, set_head)
    except BaseException:
        slot.release()
        raise

    def record(kind: Kind, fields: Mapping[str, Field]) -> None:
        async def put() -> None:
            await sink.append(kind, fields).durable()

        asyncio.run_coroutine_threadsafe(put(), loop).result()

    try:
        return await asyncio.to_thread(work, record)
    finally:
        await sink.close()  # frees the slot
