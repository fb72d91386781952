"""What every ledger sink owes its callers. A test module runs these on each implementation."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest

from gateway.ledger.base import Kind, LedgerError, Sink

MakeSink = Callable[[], Awaitable[Sink]]


async def takes_rows(make: MakeSink) -> None:
    """A row becomes written, then durable, and the sink stays writable."""
    sink = await make()
    receipt = sink.append(Kind.INTENT, {"decision": "d-1", "stream": 1})
    await receipt.written()
    await receipt.durable()
    await receipt.durable()
    assert sink.writable
    await sink.close()


async def refuses_impossible_rows(make: MakeSink) -> None:
    """Values that rows cannot hold are our own fault and raise at once."""
    sink = await make()
    for fields in (
        {"n": 2**53 + 1},
        {"x": 1.5},
        {"x": True},
        {"é": "x"},
        {"a b": 1},
        {"x": None},
        {"seq": 3},
        {"x": "\ud800"},
    ):
        with pytest.raises(ValueError):
            sink.append(Kind.CHANGE, fields)  # type: ignore[arg-type]  # the point of the test
    await sink.close()


async def closed_is_closed(make: MakeSink) -> None:
    """A closed sink takes nothing and says so."""
    sink = await make()
    await sink.close()
    with pytest.raises(LedgerError):
        sink.append(Kind.STOP, {})


CASES = (takes_rows, refuses_impossible_rows, closed_is_closed)
