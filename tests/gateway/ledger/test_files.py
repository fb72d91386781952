"""The ledger on disk: group commit, faults of the disk, torn tails, restarts."""

from __future__ import annotations

import asyncio
import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from support import ledger_conformance
from support.descriptors import few_descriptors
from support.fake_clock import FakeClock
from support.memory_ledger import MemoryLedger

from gateway.ledger import files
from gateway.ledger.base import Kind, LedgerError, Sink
from gateway.ledger.files import FileSink, LedgerTampered, open_ledger
from gateway.ledger.rows import parse
from gateway.ledger.sealing import compress
from gateway.ledger.segments import claim, segment, segments
from gateway.ledger.verify import export, verify


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
    async with asyncio.timeout(30):
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


async def test_a_segment_that_cannot_be_opened_costs_nobody_else_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Out of descriptors at the turn of a segment: the row fails, no other file is closed or written to, and the chain goes on."""
    monkeypatch.setattr(files, "SEGMENT_BYTES", 600)
    heads = Heads()
    sink = open_here(tmp_path, heads)
    while segments(tmp_path / "r1")[0].stat().st_size < 600:
        await sink.append(Kind.INTENT, {"decision": "d"}).durable()
    with few_descriptors(0):
        for _ in range(2):
            with pytest.raises(LedgerError, match="Too many open files"):
                await sink.append(Kind.INTENT, {"decision": "lost"}).written()
    with (tmp_path / "victim").open("w+") as victim:
        await sink.append(Kind.INTENT, {"decision": "after"}).durable()
        assert victim.read() == ""
    await sink.close()
    (chain,) = verify(tmp_path, heads)
    assert chain.ok
    assert '"lost":2' in segments(tmp_path / "r1")[1].read_text()


async def test_time_never_goes_back_along_a_chain(tmp_path: Path) -> None:
    """A clock that is set back, also between two processes, leaves rows at the time of the last one; then time goes on."""
    clock, heads = FakeClock(), Heads()
    for moved in (0, -3600, 10, -3600, 7300):
        clock.epoch += moved
        slot = claim(tmp_path)
        sink = open_ledger(slot, "boot", heads.get(slot.replica), clock, heads.set)
        await sink.append(Kind.INTENT, {"decision": "d"}).durable()
        clock.epoch -= 1
        await sink.append(Kind.INTENT, {"decision": "d"}).durable()
        await sink.close()
    rows = [int(parse(line)["time_ms"]) for line in export(tmp_path)]
    start = rows[0]
    assert [row - start for row in rows] == [0] * 8 + [106_000] * 2
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


async def test_an_old_segment_is_followed_by_the_next(tmp_path: Path) -> None:
    """A day after its first row, over a restart too, the next row begins another file; an idle ledger begins none."""
    heads, clock = Heads(), FakeClock()

    def opened() -> FileSink:
        return open_ledger(claim(tmp_path), "boot", heads.get("r1"), clock, heads.set, segment_seconds=86_400)

    sink = opened()
    await sink.append(Kind.INTENT, {}).durable()
    clock.advance(80_000)
    await sink.append(Kind.INTENT, {}).durable()
    await sink.close()
    clock.advance(6_400)
    sink = opened()
    await sink.append(Kind.INTENT, {}).durable()
    clock.advance(86_399)
    await sink.append(Kind.INTENT, {}).durable()
    await sink.close()
    assert segments(tmp_path / "r1") == [segment(tmp_path / "r1", first) for first in (0, 2)]
    assert verify(tmp_path, heads)[0].ok


async def test_a_chain_whose_last_segment_was_compressed_goes_on_in_a_new_one(tmp_path: Path) -> None:
    """A compressed file is never written to."""
    heads = Heads()
    for _ in range(2):
        sink = open_here(tmp_path, heads)
        await sink.append(Kind.INTENT, {"decision": "d-1"}).durable()
        await sink.close()
        compress(segments(tmp_path / "r1")[-1])
    assert verify(tmp_path, heads)[0].rows == 2
    assert len(segments(tmp_path / "r1")) == 2


@pytest.mark.parametrize("covered", [0, 1, 2])
async def test_a_tail_cut_at_any_byte_is_repaired_or_refused(tmp_path: Path, covered: int) -> None:
    """The last rows cut at each byte: beyond the head the chain goes on, within it nothing is opened."""
    heads: Heads = Heads()
    (tmp_path / "whole").mkdir()
    sink = open_here(tmp_path / "whole", heads)
    for number in range(3):
        await sink.append(Kind.INTENT, {"decision": f"d-{number}"}).durable()
    await sink.close()
    data = segments(tmp_path / "whole" / "r1")[0].read_bytes()
    rows = [parse(line) for line in data.splitlines()]
    ends = [index + 1 for index, byte in enumerate(data) if byte == 10]
    for cut in range(ends[0] - 40, len(data) + 1):
        directory = tmp_path / str(cut)
        segment(directory / "r1", 0).parent.mkdir(parents=True)
        segment(directory / "r1", 0).write_bytes(data[:cut])
        known = Heads(r1=(covered, str(rows[covered]["hash"])))
        if cut < ends[covered]:
            with pytest.raises(LedgerTampered, match="rows are missing"):
                open_here(directory, known)
            continue
        sink = open_here(directory, known)
        await sink.append(Kind.INTENT, {}).durable()
        await sink.close()
        (chain,) = verify(directory, known)
        assert (chain.ok, chain.rows, chain.torn) == (True, sum(end <= cut for end in ends) + 1, None)


async def test_a_next_segment_that_cannot_be_made_fails_its_rows_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The old segment goes on being the last one, and the next row tries again."""
    monkeypatch.setattr(files, "SEGMENT_BYTES", 100)
    heads = Heads()
    sink = open_here(tmp_path, heads)
    assert sink.accepting
    await sink.append(Kind.INTENT, {"decision": "d-1"}).durable()

    def broken(_path: Path) -> None:
        raise OSError(errno.EIO, "I/O error")

    with monkeypatch.context() as patch:
        patch.setattr(files, "sync_directory", broken)
        with pytest.raises(LedgerError, match="I/O error"):
            await sink.append(Kind.INTENT, {"decision": "d-2"}).written()
    await sink.append(Kind.INTENT, {"decision": "d-3"}).durable()
    await sink.close()
    (chain,) = verify(tmp_path, heads)
    assert (chain.ok, chain.rows) == (True, 3)


async def test_the_time_of_rows_never_goes_back_along_a_chain(tmp_path: Path) -> None:
    """A clock that is set back, with a restart between, stands still in the ledger until it has caught up."""
    heads, clock = Heads(), FakeClock()
    for wall in (2000.0, 1000.0, 3000.0):
        clock.epoch = wall
        sink = open_ledger(claim(tmp_path), "boot", heads.get("r1"), clock, heads.set)
        await sink.append(Kind.INTENT, {}).durable()
        await sink.close()
    rows = [parse(line) for line in segments(tmp_path / "r1")[0].read_bytes().splitlines()]
    assert [row["time_ms"] for row in rows] == [2_000_000, 2_000_000, 3_000_000]
