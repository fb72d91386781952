"""The quick check at start: whatever is cut, at whatever byte, is repaired beyond the head and refused within."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.ledger_chains import Chain

from gateway.ledger.rows import ZERO
from gateway.ledger.sealing import compress
from gateway.ledger.segments import segment, segments
from gateway.ledger.tail import verify_tail
from gateway.ledger.verify import verify_chain

ROWS = 9


def rows(root: Path, *, turn: int | None = None) -> Chain:
    """A chain of a few rows, in one segment or two."""
    chain = Chain(root)
    for number in range(ROWS):
        if number == turn:
            chain.turn()
        chain.row(decision=f"d-{number}")
    return chain


@pytest.mark.parametrize("covered", range(ROWS))
def test_every_cut_of_the_last_rows_is_torn_beyond_the_head_and_missing_within(tmp_path: Path, covered: int) -> None:
    """The file is cut at each byte of its last four rows; only what the head covers must be there."""
    chain = rows(tmp_path)
    path = segment(chain.directory, 0)
    whole = path.read_bytes()
    ends = [index + 1 for index, byte in enumerate(whole) if byte == 10]
    for cut in range(ends[-5], len(whole) + 1):
        path.write_bytes(whole[:cut])
        found = verify_tail(chain.directory, chain.heads[covered])
        kept = sum(end <= cut for end in ends)
        assert found.ok == (kept > covered), cut
        if found.ok:
            assert (found.sequence, found.digest) == chain.heads[kept - 1]
            assert (found.torn is None) == (cut in ends)
            assert found.torn is None or found.torn.offset == ends[kept - 1]
        else:
            assert "rows are missing" in found.faults[0].message


@pytest.mark.parametrize("window", [1, 300, 700, 5000])
def test_any_window_says_the_same(tmp_path: Path, window: int) -> None:
    """How much is read before the end changes nothing about what is found at the end."""
    chain = rows(tmp_path)
    for head in chain.heads:
        found = verify_tail(chain.directory, head, window)
        assert (found.ok, found.sequence, found.digest) == (True, *chain.head)
    assert not verify_tail(chain.directory, (ROWS - 1, ZERO), window).ok
    path = segment(chain.directory, 0)
    path.write_bytes(path.read_bytes().replace(b'"d-8"', b'"d-7"'))
    assert "hash of row 8" in verify_tail(chain.directory, chain.heads[7], window).faults[0].message


def test_old_rows_are_not_looked_at(tmp_path: Path) -> None:
    """An edit of an old row is found by full verification, not by the tail."""
    chain = rows(tmp_path, turn=6)
    path = segment(chain.directory, 0)
    path.write_bytes(path.read_bytes().replace(b'"d-1"', b'"d-2"'))
    assert verify_tail(chain.directory, chain.head).ok
    assert not verify_chain(chain.directory, chain.head).ok


def test_the_check_goes_back_to_the_segment_of_the_head(tmp_path: Path) -> None:
    """A head in an earlier segment, compressed or not, is met there."""
    chain = rows(tmp_path, turn=6)
    for _ in range(2):
        found = verify_tail(chain.directory, chain.heads[3])
        assert (found.ok, found.rows, found.sequence) == (True, ROWS, ROWS - 1)
        if segments(chain.directory)[0].suffix == ".jsonl":
            compress(segment(chain.directory, 0))
    path = segments(chain.directory)[0]
    path.write_bytes(path.read_bytes()[:-3])
    faults = verify_tail(chain.directory, chain.heads[3]).faults
    assert any("cannot be decompressed" in fault.message for fault in faults)


def test_without_a_head_everything_is_verified(tmp_path: Path) -> None:
    """A chain that the store does not know is not trusted in part; an empty one with a head is missing."""
    chain = rows(tmp_path, turn=6)
    path = segment(chain.directory, 0)
    path.write_bytes(path.read_bytes().replace(b'"d-1"', b'"d-2"'))
    assert not verify_tail(chain.directory, None).ok
    for path in segments(chain.directory):
        path.unlink()
    assert "rows are missing" in verify_tail(chain.directory, chain.head).faults[0].message


def test_a_hopeless_tail_is_not_listed_to_its_end(tmp_path: Path) -> None:
    """Garbage gives a bounded list, with a window and without."""
    chain = rows(tmp_path)
    with segment(chain.directory, 0).open("ab") as file:
        file.write(b"garbage\n" * 1000)
    for window in (8500, 1 << 20):
        assert len(verify_tail(chain.directory, chain.head, window).faults) == 20
