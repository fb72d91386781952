"""Under pressure, exchanges of low levels are covered before they happen and counted after; all others are recorded as ever."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest
from support import ledger_conformance
from support.fake_clock import FakeClock
from support.memory_ledger import MemoryLedger

from gateway.ledger.base import Field, Kind, LedgerError, Sink
from gateway.ledger.files import open_ledger
from gateway.ledger.pressure import Pressure
from gateway.ledger.reading import show
from gateway.ledger.segments import claim
from gateway.ledger.summaries import REMEMBERED_SECONDS, Summarising


class Scene:
    """A summarising sink over one in memory, and exchanges through it."""

    def __init__(self, pressure: Pressure = Pressure.SUMMARY) -> None:
        self.clock = FakeClock()
        self.memory = MemoryLedger()
        self.sink = Summarising(self.memory, self.clock)
        self.sink.pressure = pressure
        self._number = 0

    def ident(self) -> str:
        """A fresh decision id of now."""
        self._number += 1
        return f"d-{int(self.clock.wall() * 1000):011x}{self._number:016x}"

    async def intent(self, asl: str = "asl-1", **fields: Field) -> str:
        """An intent row, written; its decision."""
        decision = self.ident()
        row = {"decision": decision, "model": "m", "asl": asl, "policy": "p", "controls": "rules:allow"}
        await self.sink.append(Kind.INTENT, {**row, "caller": "anonymous", **fields}).written()
        return decision

    async def outcome(self, decision: str, asl: str = "asl-1", outcome: str = "served", **fields: Field) -> None:
        """An outcome row, written."""
        row = {"decision": decision, "model": "m", "asl": asl, "policy": "p", "outcome": outcome, "reason": "cleared"}
        await self.sink.append(Kind.OUTCOME, {**row, **fields}).written()

    def kinds(self) -> list[str]:
        """The kinds of all rows below."""
        return [kind.value for kind, _ in self.memory.rows]


@pytest.mark.parametrize("case", ledger_conformance.CASES)
@pytest.mark.parametrize("pressure", Pressure)
async def test_conformance(case: Callable[[ledger_conformance.MakeSink], object], pressure: Pressure) -> None:
    """It keeps the seam's promises at any pressure."""

    async def make() -> Sink:
        return Scene(pressure).sink

    await case(make)  # type: ignore[misc]  # each case is a coroutine function


async def test_without_pressure_every_row_is_its_own() -> None:
    """Below 90 % nothing is summarised."""
    scene = Scene(Pressure.CONTENT)
    decision = await scene.intent()
    await scene.outcome(decision)
    scene.sink.flush()
    assert scene.kinds() == ["intent", "outcome"]
    assert scene.sink.accepting


async def test_a_second_of_low_levels_is_two_rows_whatever_its_traffic() -> None:
    """One cover before the first is forwarded, and one count of intents and of each outcome."""
    scene = Scene()
    for _ in range(50):
        await scene.outcome(await scene.intent(), scanned=10, released=4, upstream_bytes=100)
    assert scene.kinds() == ["cover"]
    (cover,) = scene.memory.of(Kind.COVER)
    assert str(cover["from"]) <= scene.ident() < str(cover["until"])
    assert (cover["of"], cover["model"], cover["asl"], cover["controls"]) == ("intent", "m", "asl-1", "rules:allow")
    scene.sink.flush(before=int(scene.clock.wall()) + 1)
    intents, outcomes = scene.memory.of(Kind.SUMMARY)
    assert (intents["of"], intents["count"]) == ("intent", 50)
    assert (outcomes["of"], outcomes["outcome"], outcomes["count"]) == ("outcome", "served", 50)
    assert (outcomes["scanned"], outcomes["released"], outcomes["upstream_bytes"]) == (500, 200, 5000)
    scene.sink.flush()
    assert len(scene.memory.of(Kind.SUMMARY)) == 2


async def test_what_is_told_to_a_client_is_covered_before_it_is_told() -> None:
    """A refusal, a block and a failure each have a row that says so, in their own second."""
    scene = Scene()
    await scene.outcome(scene.ident(), "none", "refused", model="none")
    await scene.outcome(scene.ident(), "none", "refused", model="none")
    await scene.outcome(scene.ident(), "asl-2", "blocked_input", reason="rule_matched")
    await scene.outcome(await scene.intent(), outcome="upstream_failed")
    assert scene.kinds() == ["cover", "cover", "cover", "cover"]
    assert [row.get("outcome") for row in scene.memory.of(Kind.COVER)] == [
        "refused",
        "blocked_input",
        None,
        "upstream_failed",
    ]


async def test_another_second_model_policy_or_verdict_has_its_own_cover() -> None:
    """A cover covers what it says and nothing else."""
    scene = Scene()
    for fields in ({}, {"model": "n"}, {"policy": "q"}, {"controls": "rules:block(shadow)"}, {"caller": "c"}):
        for _ in range(2):
            await scene.intent(**fields)
    await scene.intent("asl-2")
    assert len(scene.memory.of(Kind.COVER)) == 6
    scene.clock.advance(1)
    await scene.intent()
    assert len(scene.memory.of(Kind.COVER)) == 7


async def test_high_levels_acts_and_foreign_ids_are_never_summarised() -> None:
    """ASL-3 and above, everything that people do, and what no range of ids can cover."""
    scene = Scene(Pressure.REFUSE)
    for asl in ("asl-3", "asl-1/security-3"):
        await scene.outcome(await scene.intent(asl), asl)
    await scene.sink.append(Kind.CHANGE, {"act": "raise"}).durable()
    await scene.sink.append(Kind.INTENT, {"decision": "d-1", "asl": "asl-1"}).durable()
    assert scene.kinds() == ["intent", "outcome", "intent", "outcome", "change", "intent"]
    assert not scene.sink.accepting


async def test_an_exchange_ends_as_it_began() -> None:
    """A row of its own is answered by a row of its own, a cover by a count, whatever the disk does meanwhile."""
    scene = Scene(Pressure.NONE)
    own = await scene.intent()
    scene.sink.pressure = Pressure.SUMMARY
    covered = await scene.intent()
    await scene.outcome(own)
    scene.sink.pressure = Pressure.NONE
    await scene.outcome(covered)
    scene.sink.flush()
    assert scene.kinds() == ["intent", "cover", "outcome", "summary", "summary"]


async def test_a_cover_that_was_not_written_covers_nothing() -> None:
    """While the disk fails every exchange is refused; afterwards a fresh cover is written."""
    scene = Scene()
    scene.memory.broken = True
    for _ in range(2):
        with pytest.raises(LedgerError):
            await scene.intent()
    scene.memory.broken = False
    await scene.intent()
    assert scene.kinds() == ["cover"]


async def test_a_cover_is_waited_for_by_all_it_covers() -> None:
    """No exchange is answered before the row that covers it is on disk."""
    scene = Scene()
    scene.memory.disk.clear()
    await scene.intent()
    row = {"decision": scene.ident(), "model": "m", "asl": "asl-1", "policy": "p", "controls": "rules:allow"}
    waiting = asyncio.create_task(_durable(scene.sink, {**row, "caller": "anonymous"}))
    await asyncio.sleep(0)
    assert len(scene.memory.of(Kind.COVER)) == 1
    assert not waiting.done()
    scene.memory.disk.set()
    await waiting


async def _durable(sink: Sink, row: dict[str, Field]) -> None:
    await sink.append(Kind.INTENT, row).durable()


async def test_counts_that_cannot_be_written_are_kept_and_closing_tells_them() -> None:
    """Nothing is lost to a disk that comes back."""
    scene = Scene()
    await scene.intent()
    scene.memory.refusing = True
    scene.sink.flush()
    assert not scene.sink.writable
    scene.memory.refusing = False
    await scene.sink.close()
    assert scene.kinds() == ["cover", "summary"]


async def test_old_covers_are_forgotten() -> None:
    """Memory does not grow with time; a very late exchange writes another cover."""
    scene = Scene()
    await scene.intent()
    scene.clock.advance(REMEMBERED_SECONDS + 2)
    scene.sink.flush(before=int(scene.clock.wall()))
    assert scene.sink._covers == {}


async def test_rows_on_disk_are_shown_for_a_covered_decision(tmp_path: Path) -> None:
    """A client's decision id leads to the cover of its second."""
    scene = Scene()
    sink = Summarising(open_ledger(claim(tmp_path), "boot", None, scene.clock, lambda *_: None), scene.clock)
    sink.pressure = Pressure.SUMMARY
    decision = scene.ident()
    await sink.append(
        Kind.INTENT, {"decision": decision, "model": "m", "asl": "asl-1", "policy": "p", "controls": "c", "caller": "a"}
    ).durable()
    await sink.close()
    (row,) = show(tmp_path, decision)
    assert (row["kind"], row["of"], row["model"]) == ("cover", "intent", "m")
