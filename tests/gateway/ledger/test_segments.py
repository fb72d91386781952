"""Files of a chain, their lines, and the slots of replicas."""

from __future__ import annotations

import gzip
import tracemalloc
from pathlib import Path

import pytest

from gateway.ledger import segments as room
from gateway.ledger.base import LedgerError
from gateway.ledger.segments import chains, claim, first_of, lines, opened, packed, plain, segment, segments, take


def test_segments_come_in_order_and_nothing_else_does(tmp_path: Path) -> None:
    """Only files named by a sequence are segments, oldest first."""
    for name in (segment(tmp_path, 10).name, segment(tmp_path, 2).name, "lock", "notes.jsonl"):
        (tmp_path / name).touch()
    assert segments(tmp_path) == [segment(tmp_path, 2), segment(tmp_path, 10)]


def test_lines_know_their_place_and_whether_they_are_whole(tmp_path: Path) -> None:
    """Offsets and the torn last line are reported."""
    path = tmp_path / "x"
    path.write_bytes(b"one\ntwo\nthr")
    assert [(line.number, line.offset, line.data, line.whole) for line in lines(path)] == [
        (1, 0, b"one", True),
        (2, 4, b"two", True),
        (3, 8, b"thr", False),
    ]


def test_an_overlong_line_is_cut_not_read(tmp_path: Path) -> None:
    """Memory stays bounded whatever the file holds."""
    path = tmp_path / "x"
    path.write_bytes(b"x" * (3 * room.MAX_LINE))
    assert max(len(line.data) for line in lines(path)) <= room.MAX_LINE + 2


def test_a_second_process_gets_a_second_slot_and_a_restart_the_first(tmp_path: Path) -> None:
    """Slots are held by locks, not by files."""
    first, second = claim(tmp_path), claim(tmp_path)
    assert (first.replica, second.replica) == ("r1", "r2")
    first.release()
    again = claim(tmp_path)
    assert again.replica == "r1"
    assert [path.name for path in chains(tmp_path)] == ["r1", "r2"]
    again.release()
    second.release()


def test_no_free_slot_and_no_directory_are_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both ends of the road are typed errors."""
    monkeypatch.setattr(room, "SLOTS", 1)
    held = claim(tmp_path)
    with pytest.raises(LedgerError, match="slots are taken"):
        claim(tmp_path)
    held.release()
    (tmp_path / "file").touch()
    with pytest.raises(LedgerError, match="file"):
        claim(tmp_path / "file")


def test_no_directory_means_no_chains(tmp_path: Path) -> None:
    """A state directory without a ledger has no chains."""
    assert chains(tmp_path / "none") == []


def test_each_segment_is_named_once_the_plain_form_first(tmp_path: Path) -> None:
    """A segment in both forms is one segment; drafts and markers are none."""
    plain(segment(tmp_path, 3)).touch()
    packed(segment(tmp_path, 3)).touch()
    packed(segment(tmp_path, 1)).touch()
    for name in (f".{packed(segment(tmp_path, 9)).name}", "00000000000000000009.shipped", "x.jsonl.gz"):
        (tmp_path / name).touch()
    assert segments(tmp_path) == [packed(segment(tmp_path, 1)), segment(tmp_path, 3)]
    assert [first_of(path) for path in segments(tmp_path)] == [1, 3]


def test_a_segment_is_read_in_the_form_it_is_in_now(tmp_path: Path) -> None:
    """It may have been compressed since it was listed; pruned, it is not there."""
    path = segment(tmp_path, 0)
    packed(path).write_bytes(gzip.compress(b"one\ntwo\n"))
    for name in (path, packed(path)):
        assert [line.data for line in lines(name)] == [b"one", b"two"]
    path.write_bytes(b"three\n")
    packed(path).unlink()
    with opened(packed(path)) as file:
        assert file.read() == b"three\n"
    path.unlink()
    with pytest.raises(FileNotFoundError):
        opened(path)


def test_a_bomb_is_read_line_by_line(tmp_path: Path) -> None:
    """A compressed segment of endless zeros costs no more memory than one line."""
    path = packed(segment(tmp_path, 0))
    path.write_bytes(gzip.compress(b"\0" * (64 << 20)))
    tracemalloc.start()
    assert len(next(iter(lines(path))).data) <= room.MAX_LINE + 2
    assert tracemalloc.get_traced_memory()[1] < 16 << 20
    tracemalloc.stop()


def test_a_named_slot_is_taken_or_held(tmp_path: Path) -> None:
    """One holder at a time."""
    first = take(tmp_path / "r7")
    assert first is not None
    assert take(tmp_path / "r7") is None
    first.release()
