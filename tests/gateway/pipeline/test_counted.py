"""Early refusals: a few have a row each, a flood is counted, and either way each is on record exactly once."""

from __future__ import annotations

import pytest
from support.fake_clock import FakeClock
from support.memory_ledger import MemoryLedger
from support.pipelines import OPENAI, Client, bench, body_of

from gateway.ledger.base import Kind
from gateway.ledger.rows import seal
from gateway.limits import Limits
from gateway.metrics import metrics
from gateway.pipeline.counted import OWN_ROWS, Refusals

MIB = 1 << 20
EARLY = {
    "invalid_json": (b"{", {}),
    "duplicate_key": (b'{"a":1,"a":2}', {}),
    "unsupported_media_type": (body_of(OPENAI), {"media_type": "text/plain"}),
    "request_too_large": (b"x" * (MIB + 1), {}),
    "model_not_found": (body_of(OPENAI, model="nobody"), {}),
}


@pytest.mark.parametrize("code", EARLY)
async def test_a_flood_of_early_refusals_is_counted(code: str) -> None:
    """Beyond the rows of this second each is counted by its reason; the client hears the same; the next second begins anew."""
    body, how = EARLY[code]
    async with bench(own_rows=3, counted=False) as b:
        answers = [await b.ask(OPENAI, body, **how) for _ in range(10)]
        assert len({answer.status for answer in answers}) == 1
        assert {answer.body["error"]["code"] for answer in answers} == {code}
        assert len(b.ledger.of(Kind.OUTCOME)) == 3
        b.clock.advance(1)
        await b.ask(OPENAI, body, **how)
        assert len(b.ledger.of(Kind.OUTCOME)) == 4
        b.pipeline.rooms.refusals.flush()
        (row,) = b.ledger.of(Kind.REFUSALS)
        assert (row["reason"], row["count"]) == (code, 7)
        assert b.total("requests_total", outcome="refused") == 11
        assert b.total("refusals_total", reason=code) == 7


async def test_exchanges_whose_model_is_known_have_a_row_each() -> None:
    """A flood of early refusals never costs another exchange its row: served, blocked and halted ones are always written."""
    async with bench(own_rows=0, counted=False) as b:
        for _ in range(5):
            await b.ask(OPENAI, b"{")
        await b.ask(OPENAI, body_of(OPENAI))
        await b.ask(OPENAI, body_of(OPENAI, "ASL_GATEWAY_TEST_BLOCK_RULES"))
        assert [row["outcome"] for row in b.ledger.of(Kind.OUTCOME)] == ["served", "blocked_input"]
        assert len(b.ledger.of(Kind.INTENT)) == 1


async def test_full_and_abandoned_are_counted_too() -> None:
    """A replica without room, and clients that leave in the middle of their bodies, fill no disk either."""
    async with bench(own_rows=0, counted=False, limits=Limits(1, MIB, 10)) as b:
        assert (await b.ask(OPENAI, body_of(OPENAI))).status == 503
        b.limits.in_flight = 64 * MIB
        client = Client(body_of(OPENAI))
        client.uploading.clear()
        b.start(OPENAI, client)
        client.leave()
        await b.finish()
        b.pipeline.rooms.refusals.flush()
        assert {row["reason"]: row["count"] for row in b.ledger.of(Kind.REFUSALS)} == {"overloaded": 1, "abandoned": 1}
        assert b.ledger.of(Kind.OUTCOME) == []


async def test_a_malformed_body_costs_the_connection() -> None:
    """Whoever sends nonsense must connect anew; a well-formed request that is refused keeps its connection."""
    async with bench() as b:
        assert (await b.ask(OPENAI, b"{")).headers["connection"] == "close"
        assert "connection" not in (await b.ask(OPENAI, body_of(OPENAI, model="nobody"))).headers
        assert "connection" not in (await b.ask(OPENAI, body_of(OPENAI))).headers


async def test_ten_minutes_of_flood_stay_under_ten_megabytes() -> None:
    """The rows of the worst second, sealed as they stand in the file, times six hundred."""
    async with bench(own_rows=0, counted=False) as b:
        b.pipeline.rooms.refusals._own_rows = OWN_ROWS
        b.clock.advance(1)
        for _ in range(2 * OWN_ROWS):
            await b.ask(OPENAI, b"{")
        for number in range(27):  # every slug of the edge and of the parser at once
            b.pipeline.rooms.refusals.count(f"some_reason_slug_{number}")
        b.pipeline.rooms.refusals.flush()
        shared: dict[str, str | int] = {"boot": "0f3a12cd", "replica": "r1", "seq": 10**9, "time_ms": 10**13, "v": 1}
        rows = [row | {"kind": kind} | shared for kind in (Kind.OUTCOME, Kind.REFUSALS) for row in b.ledger.of(kind)]
        assert len(rows) == OWN_ROWS + 28
        assert sum(len(seal(row, "0" * 64)[0]) for row in rows) * 600 < 10_000_000


def test_rows_are_shared_by_the_second() -> None:
    """So many in each second, and no more in it, however the refusals are spread."""
    clock = FakeClock()
    refusals = Refusals(MemoryLedger(), metrics(), clock, own_rows=2)
    given = []
    for _ in range(3):
        given += [refusals.own_row() for _ in range(4)]
        clock.advance(1)
    assert given == [True, True, False, False] * 3
