"""The upkeep of a ledger: rounds with real files, a real verifier process and a clock that is told to move."""

from __future__ import annotations

import asyncio
import json
import math
import sys
import types
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from support.fake_clock import FakeClock
from support.ledger_chains import filled

from gateway.app import upkeep as room
from gateway.app.upkeep import FIRST_AUDIT_SECONDS, RETRY_SECONDS, Place, Upkeep
from gateway.ledger import holding
from gateway.ledger.base import Kind, LedgerError
from gateway.ledger.files import FileSink, open_ledger
from gateway.ledger.pressure import Pressure, Space
from gateway.ledger.pruning import ASKED
from gateway.ledger.segments import claim, segment, segments, take
from gateway.ledger.shipping import ship
from gateway.ledger.summaries import Summarising
from gateway.ledger.verify import export, verify_chain
from gateway.metrics import Metrics, metrics
from gateway.settings.model import LedgerSettings
from gateway.state.base import Head

DAY = 86_400
KEPT = {1: 30, 2: 90, 3: 365, 4: 1095, 5: 1825}


@dataclass
class Scene:
    """A ledger with its upkeep, without a gateway."""

    root: Path
    settings: LedgerSettings = field(default_factory=LedgerSettings)
    space: Space | OSError = field(default_factory=lambda: Space(10, 90))

    def __post_init__(self) -> None:
        self.clock = FakeClock()
        self.heads: dict[str, Head] = {}
        self.metrics: Metrics = metrics()
        self.file: FileSink = open_ledger(
            claim(self.root), "boot", None, self.clock, lambda *row: self.heads.update({row[0]: Head(*row)})
        )
        self.sink = Summarising(self.file, self.clock)
        place = Place(self.root, "r1", self.heads.get, lambda: self.file.sequence, lambda: KEPT)
        self.upkeep = Upkeep(place, self.sink, self.settings, self.metrics, self.clock, self.look)
        self.own = self.root / "r1"

    def look(self, _path: Path) -> Space:
        """The space that the test says."""
        if isinstance(self.space, OSError):
            raise self.space
        return self.space

    async def rows(self, *levels: str) -> None:
        """One row a day, each in a segment of its own."""
        for level in levels:
            await self.sink.append(Kind.OUTCOME, {"asl": level, "decision": "d"}).durable()
            self.clock.advance(DAY)
        await self.sink.append(Kind.POLICY, {}).durable()
        while self.heads["r1"].sequence < len(levels):  # the head trails by one step of the writer
            await asyncio.sleep(0.01)

    def gauge(self, name: str) -> float:
        """A gauge without labels."""
        value = self.metrics.registry.get_sample_value(f"asl_gateway_{name}")
        assert value is not None
        return value

    def due(self) -> None:
        """It is time to verify everything."""
        self.clock.advance(max(FIRST_AUDIT_SECONDS, self.settings.verify_every))

    def of(self, kind: str) -> list[dict[str, object]]:
        """The rows of a kind on disk."""
        return [row for row in map(json.loads, export(self.root)) if row["kind"] == kind]

    async def close(self) -> None:
        """In the order of the gateway."""
        await self.upkeep.close()
        await self.sink.close()


@pytest.fixture
async def scene(tmp_path: Path) -> AsyncIterator[Scene]:
    """With the defaults."""
    made = Scene(tmp_path)
    yield made
    await made.close()


async def test_a_round_compresses_and_a_due_one_verifies(scene: Scene) -> None:
    """The open segment stays plain; the time of verification is told only once all rows were found sound."""
    await scene.upkeep.once()
    assert scene.gauge("ledger_verified_timestamp_seconds") == 0
    await scene.rows("asl-3", "asl-3")
    await scene.upkeep.once()
    assert [path.suffix for path in segments(scene.own)] == [".gz", ".gz", ".jsonl"]
    assert scene.gauge("ledger_verified_timestamp_seconds") == scene.clock.wall()
    assert not scene.upkeep.broken


@pytest.mark.parametrize(("mode", "left"), [("expired", 2), ("none", 4), ("shipped", 2)])
async def test_expired_segments_go_by_themselves_unless_told_not_to(tmp_path: Path, mode: str, left: int) -> None:
    """Only the beginning, only what its strictest level no longer needs, and with a row for each."""
    scene = Scene(tmp_path, LedgerSettings(prune=mode))  # type: ignore[arg-type]  # one of its values
    await scene.rows("asl-1", "asl-2", "asl-3")
    scene.clock.advance(100 * DAY)
    await scene.sink.append(Kind.POLICY, {}).durable()
    await scene.upkeep.once()
    assert len(segments(scene.own)) in {left, left + 1}
    assert len(scene.of("pruned")) == (0 if mode == "none" else 2)
    assert verify_chain(scene.own, None).ok
    await scene.close()
    assert scene.metrics.registry.get_sample_value("asl_gateway_ledger_rows_total", {"kind": "pruned"}) == (
        None if mode == "none" else 2
    )


async def test_a_request_prunes_at_once_and_shipped_segments_too(tmp_path: Path) -> None:
    """The note of the command line is done and taken away, though nothing goes by itself and verification is not due."""
    scene = Scene(tmp_path / "ledger", LedgerSettings(prune="none"))
    await scene.rows("asl-3", "asl-3")
    scene.due()
    await scene.upkeep.once()
    spans = verify_chain(scene.own, None).spans[:-1]
    assert len(ship(scene.own, spans, tmp_path / "archive")) == 2
    (scene.own / ASKED).touch()
    await scene.upkeep.once()
    assert [row["reason"] for row in scene.of("pruned")] == ["shipped", "shipped"]
    assert len(scene.of("shipped")) == 2
    assert not (scene.own / ASKED).exists()
    assert verify_chain(scene.own, None).ok
    await scene.close()


async def test_a_broken_chain_is_said_and_kept(scene: Scene) -> None:
    """An edit of an old row makes the replica not ready, and nothing of the chain is pruned; restored, it is sound again."""
    await scene.rows("asl-1", "asl-3")
    path = segment(scene.own, 0)
    whole = path.read_bytes()
    path.write_bytes(whole.replace(b"asl-1", b"asl-2"))
    scene.clock.advance(100 * DAY)
    await scene.upkeep.once()
    assert scene.upkeep.broken
    assert scene.upkeep.faults["r1"][0].line == 1
    assert scene.of("pruned") == []
    assert scene.gauge("ledger_verified_timestamp_seconds") == 0
    for form in segments(scene.own)[:1]:
        form.unlink()
    path.write_bytes(whole)
    scene.due()
    await scene.upkeep.once()
    assert not scene.upkeep.broken


async def test_chains_that_nobody_holds_are_looked_after_and_others_left_alone(scene: Scene) -> None:
    """A stopped replica's chain is compressed and verified; one that is held is its holder's business."""
    free = filled(scene.root, (3, "asl-1", 0), replica="r2")
    held = filled(scene.root, (3, "asl-1", 0), replica="r3")
    scene.heads["r2"] = Head("r2", *free.head)
    scene.heads["r3"] = Head("r3", 99, "x")
    slot = take(held.directory)
    assert slot is not None
    await scene.rows("asl-1")
    scene.due()
    await scene.upkeep.once()
    assert segments(free.directory)[0].suffix == ".gz"
    assert segments(held.directory)[0].suffix == ".jsonl"
    assert not scene.upkeep.broken
    slot.release()
    scene.due()
    await scene.upkeep.once()
    assert set(scene.upkeep.faults) == {"r3"}


async def test_space_sets_pressure_and_gauges(scene: Scene) -> None:
    """Up and down with the disk; a disk that cannot be asked changes nothing."""
    assert scene.gauge("ledger_days_to_full") == math.inf
    for space, expected in ((Space(95, 5), Pressure.SUMMARY), (Space(99, 1), Pressure.REFUSE)):
        scene.space = space
        scene.upkeep.sample()
        assert scene.sink.pressure is expected
    scene.space = OSError("gone")
    scene.upkeep.sample()
    assert scene.sink.pressure is Pressure.REFUSE
    assert scene.gauge("ledger_pressure") == 3
    scene.space = Space(1, 99_000)
    await scene.rows("asl-3")
    scene.upkeep.sample()
    assert scene.sink.pressure is Pressure.NONE
    assert 0 < scene.gauge("ledger_days_to_full") < math.inf


async def test_the_loops_go_on_after_a_fault(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """What fails once is tried again."""
    await scene.rows("asl-3")
    monkeypatch.setattr(room, "TEND_SECONDS", 0.01)
    monkeypatch.setattr(room, "WATCH_SECONDS", 0.01)
    blocked = scene.own / f".{segment(scene.own, 0).name}.gz"
    blocked.mkdir()  # the draft's name is taken by what cannot be removed like a file
    tasks = [asyncio.create_task(scene.upkeep.tend()), asyncio.create_task(scene.upkeep.watch())]
    scene.space = Space(99, 1)
    async with asyncio.timeout(60):
        while scene.sink.pressure is not Pressure.REFUSE:
            await asyncio.sleep(0.01)
        blocked.rmdir()
        while segments(scene.own)[0].suffix != ".gz":
            await asyncio.sleep(0.01)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def test_a_gateway_that_stops_records_nothing_more(scene: Scene) -> None:
    """After close the files belong to whoever takes the slot."""
    await scene.upkeep.close()
    with pytest.raises(LedgerError, match="stopping"):
        scene.upkeep._record(Kind.PRUNED, {})


async def test_a_clock_that_jumps_ahead_expires_nothing(scene: Scene) -> None:
    """Ten years on the wall, none for the process."""
    await scene.rows("asl-1", "asl-1")
    scene.clock.epoch += 3650 * DAY
    await scene.sink.append(Kind.POLICY, {}).durable()
    scene.due()
    await scene.upkeep.once()
    assert scene.of("pruned") == []
    assert scene.gauge("ledger_verified_timestamp_seconds") == scene.clock.wall()


async def test_what_cannot_be_compressed_does_not_keep_pruning_from_making_space(scene: Scene) -> None:
    """A round goes on after a fault of its files."""
    await scene.rows("asl-1", "asl-1")
    (scene.own / f".{segment(scene.own, 0).name}.gz").mkdir()
    scene.clock.advance(60 * DAY)
    await scene.sink.append(Kind.POLICY, {}).durable()
    await scene.upkeep.once()
    assert len(scene.of("pruned")) >= 2


async def test_a_verification_that_could_not_be_done_is_tried_again_soon(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A verifier that does not start leaves the last result, and the next try comes in minutes, not at once and not in a day."""
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    scene.due()
    with pytest.raises(LedgerError, match="cannot be verified"):
        await scene.upkeep.once()
    monkeypatch.undo()
    await scene.upkeep.once()
    assert scene.gauge("ledger_verified_timestamp_seconds") == 0
    scene.clock.advance(RETRY_SECONDS)
    await scene.upkeep.once()
    assert scene.gauge("ledger_verified_timestamp_seconds") == scene.clock.wall()


async def test_nothing_is_pruned_that_the_head_does_not_account_for(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While the store does not take the head, a pruned row explains nothing, and no file goes."""
    await scene.rows("asl-1", "asl-1")
    scene.clock.advance(60 * DAY)
    monkeypatch.setattr(holding, "HEAD_SECONDS", 0.0)
    scene.heads = types.MappingProxyType(scene.heads)  # type: ignore[assignment]  # it takes no head any more
    with pytest.raises(LedgerError, match="does not move"):
        await scene.upkeep.once()
    assert len(segments(scene.own)) == 4
    assert len(scene.of("pruned")) == 1
