"""Verification names the first bad row, whatever was done to the files."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.ledger_chains import Chain

from gateway.ledger import verify as room
from gateway.ledger.base import Kind
from gateway.ledger.rows import ZERO, seal
from gateway.ledger.segments import segment
from gateway.ledger.verify import MAX_FAULTS, Span, export, show, verify, verify_chain


def write_chain(root: Path, rows: int, replica: str = "r1", per_file: int = 4) -> list[tuple[int, str]]:
    """A sound chain in several segments; its (sequence, hash) pairs."""
    directory = root / replica
    directory.mkdir(parents=True)
    digest, heads = ZERO, []
    for number in range(rows):
        line, digest = seal({"decision": f"d-{number // 2}", "replica": replica, "seq": number}, digest)
        with segment(directory, number - number % per_file).open("ab") as file:
            file.write(line)
        heads.append((number, digest))
    return heads


def edit(path: Path, number: int, change: bytes | None) -> None:
    """Replace or drop one line."""
    kept = path.read_bytes().splitlines(keepends=True)
    kept[number : number + 1] = [] if change is None else [change]
    path.write_bytes(b"".join(kept))


def test_a_sound_chain_verifies_to_its_head(tmp_path: Path) -> None:
    """Rows over several files form one chain."""
    heads = write_chain(tmp_path, 10)
    (chain,) = verify(tmp_path, {"r1": heads[-1]})
    assert (chain.ok, chain.rows, chain.sequence, chain.digest) == (True, 10, *heads[-1])


@pytest.mark.parametrize("dropped", range(9))
def test_a_dropped_row_is_found_where_it_is_missing(tmp_path: Path, dropped: int) -> None:
    """The row after the gap is named."""
    heads = write_chain(tmp_path, 10)
    edit(segment(tmp_path / "r1", dropped - dropped % 4), dropped % 4, None)
    (chain,) = verify(tmp_path, {"r1": heads[-1]})
    assert f"row {dropped + 1} follows row {dropped - 1}" in chain.faults[0].message


def test_a_changed_and_a_swapped_row_are_found(tmp_path: Path) -> None:
    """An edit breaks its own hash; a swap breaks the order."""
    write_chain(tmp_path, 8)
    path = segment(tmp_path / "r1", 0)
    path.write_bytes(path.read_bytes().replace(b"d-1", b"d-7", 1))
    assert "hash of row 2" in verify_chain(tmp_path / "r1", None).faults[0].message
    rows = segment(tmp_path / "r1", 4).read_bytes().splitlines(keepends=True)
    segment(tmp_path / "r1", 4).write_bytes(rows[1] + rows[0] + rows[2] + rows[3])
    assert any("follows" in fault.message for fault in verify_chain(tmp_path / "r1", None).faults)


def test_a_resealed_row_breaks_the_chain_after_it(tmp_path: Path) -> None:
    """Whoever rewrites a row with a fresh hash is betrayed by the next one."""
    heads = write_chain(tmp_path, 6)
    line, _ = seal({"decision": "d-9", "replica": "r1", "seq": 2}, heads[1][1])
    edit(segment(tmp_path / "r1", 0), 2, line)
    (chain,) = verify(tmp_path, {})
    assert "row 3 does not continue" in chain.faults[0].message


def test_a_row_of_another_chain_is_found(tmp_path: Path) -> None:
    """A chain copied under another name does not verify."""
    write_chain(tmp_path, 3)
    (tmp_path / "r1").rename(tmp_path / "r2")
    assert "another chain" in verify(tmp_path, {})[0].faults[0].message


def test_a_cut_tail_is_found_by_the_head(tmp_path: Path) -> None:
    """Whole rows missing at the end are seen against the store's head, and so is a rewritten end."""
    heads = write_chain(tmp_path, 6)
    assert "is not the row" in verify_chain(tmp_path / "r1", (5, "0" * 64)).faults[0].message
    edit(segment(tmp_path / "r1", 4), 1, None)
    assert "rows are missing" in verify_chain(tmp_path / "r1", heads[-1]).faults[0].message


def test_a_torn_tail_is_no_fault_but_a_torn_middle_is(tmp_path: Path) -> None:
    """Only the very last line may lack its end."""
    heads = write_chain(tmp_path, 6)
    with segment(tmp_path / "r1", 4).open("ab") as file:
        file.write(b'{"half')
    chain = verify_chain(tmp_path / "r1", heads[-1])
    assert chain.ok
    assert chain.torn is not None
    with segment(tmp_path / "r1", 0).open("ab") as file:
        file.write(b'{"half')
    assert "torn" in verify_chain(tmp_path / "r1", None).faults[0].message


def test_missing_chains_and_empty_directories_are_found(tmp_path: Path) -> None:
    """A head without its chain is a fault, with or without the directory."""
    assert verify(tmp_path, {"r1": (3, "x")})[0].faults[0].message == "the chain is missing"
    (tmp_path / "r1").mkdir()
    assert "rows are missing" in verify(tmp_path, {"r1": (3, "x")})[0].faults[0].message


def test_a_hopeless_chain_is_not_listed_to_its_end(tmp_path: Path) -> None:
    """A long broken file gives a bounded list."""
    (tmp_path / "r1").mkdir()
    segment(tmp_path / "r1", 0).write_bytes(b"garbage\n" * 1000)
    assert len(verify_chain(tmp_path / "r1", None).faults) == MAX_FAULTS


def test_export_and_show_read_all_chains(tmp_path: Path) -> None:
    """Export gives every whole line; show gives the rows of one decision."""
    write_chain(tmp_path, 6)
    write_chain(tmp_path, 2, "r2")
    with segment(tmp_path / "r2", 0).open("ab") as file:
        file.write(b"torn")
    assert len(list(export(tmp_path))) == 8
    assert [(row["replica"], row["seq"]) for row in show(tmp_path, "d-0")] == [
        ("r1", 0),
        ("r1", 1),
        ("r2", 0),
        ("r2", 1),
    ]
    assert show(tmp_path, "d-99") == []


def test_progress_is_told_in_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is told adds up to the rows of all chains."""
    monkeypatch.setattr(room, "REPORT_ROWS", 2)
    write_chain(tmp_path, 9)
    write_chain(tmp_path, 2, "r2")
    told: list[int] = []
    verify(tmp_path, {}, told.append)
    assert sum(told) == 11
    assert len(told) >= 5


def test_segments_that_vanish_are_looked_for_anew_and_then_a_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A chain that is pruned while it is read is begun again; one that keeps vanishing is not called sound."""
    heads = write_chain(tmp_path, 10)
    told: list[int] = []
    real, listed = room.segments, []

    def once(directory: Path) -> list[Path]:
        listed.append(directory)
        return [*real(directory), directory / "00000000000000000099.jsonl"] if len(listed) == 1 else real(directory)

    monkeypatch.setattr(room, "REPORT_ROWS", 2)
    monkeypatch.setattr(room, "segments", once)
    assert verify_chain(tmp_path / "r1", heads[-1], told.append).ok
    assert sum(told) == 10
    monkeypatch.undo()
    (tmp_path / "r1" / "00000000000000000099.jsonl").symlink_to("nowhere")
    assert "vanish" in verify_chain(tmp_path / "r1", heads[-1]).faults[0].message


def test_what_each_segment_holds_is_noted(tmp_path: Path) -> None:
    """First and last row, the newest time and the strictest level of each, and the retention of the newest start."""
    chain = Chain(tmp_path)
    chain.row(Kind.START, retention="1,2,3,4,5", time_ms=5)
    chain.row(Kind.OUTCOME, asl="asl-3", time_ms=9)
    chain.row(Kind.OUTCOME, asl="asl-1", time_ms=7)
    chain.turn()
    chain.row(Kind.START, retention="2,2,3,4,5")
    found = verify_chain(chain.directory, chain.head)
    assert found.retention == "2,2,3,4,5"
    assert found.spans == [
        Span(segment(chain.directory, 0).name, 0, 2, chain.heads[2][1], 9, 3),
        Span(segment(chain.directory, 3).name, 3, 3, chain.heads[3][1], 0, 0),
    ]


def test_a_broken_beginning_is_not_taken_for_a_pruned_one(tmp_path: Path) -> None:
    """A first line that is no row counts as one, and the next must follow it."""
    write_chain(tmp_path, 6)
    edit(segment(tmp_path / "r1", 0), 0, b"garbage\n")
    messages = [fault.message for fault in verify_chain(tmp_path / "r1", None).faults]
    assert len(messages) == 2
    assert "does not continue" in messages[1]


@given(st.integers(0, 2000), st.integers(0, 3), st.binary(max_size=40))
@settings(max_examples=80, deadline=None)
def test_any_damage_is_a_fault_and_never_a_crash(at: int, length: int, patch: bytes) -> None:
    """Bytes of a segment that are changed, cut out or put in are told as a fault, or as a torn last line; nothing else is raised."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        heads = write_chain(root, 6, per_file=6)
        path = segment(root / "r1", 0)
        before = path.read_bytes()
        at = min(at, len(before))
        path.write_bytes(before[:at] + patch + before[at + length :])
        (chain,) = verify(root, {"r1": heads[-1]})
        assert (chain.ok and chain.torn is None) == (path.read_bytes() == before)
        assert len(list(export(root))) >= 0


@given(st.binary(max_size=300))
@settings(max_examples=80, deadline=None)
def test_any_bytes_as_a_segment_verify_to_faults(content: bytes) -> None:
    """A file that was never written by a gateway is told apart from a chain, and is not a crash."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "r1").mkdir()
        segment(Path(folder) / "r1", 0).write_bytes(content)
        (chain,) = verify(Path(folder), {})
        assert chain.ok == (chain.rows == 0)
