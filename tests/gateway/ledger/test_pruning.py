"""Pruning is never silent: each segment has its row before it goes, and a chain without its beginning must have one."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.ledger_chains import DAY_MS, Chain, filled

from gateway.ledger.base import Kind, LedgerError
from gateway.ledger.pruning import prune, row_of, take_away
from gateway.ledger.retention import Candidate, candidates
from gateway.ledger.sealing import compress
from gateway.ledger.segments import segment, segments
from gateway.ledger.verify import export, verify_chain

KEPT = {1: 30, 2: 90, 3: 365, 4: 1095, 5: 1825}
LATE = 5000 * DAY_MS


def chosen(chain: Chain) -> list[Candidate]:
    """All that is expired."""
    return candidates(verify_chain(chain.directory, chain.head), chain.directory, KEPT, LATE, shipped=False)


def test_a_pruned_chain_verifies_and_says_what_is_gone(tmp_path: Path) -> None:
    """Two segments go, in whatever form; the rest begins where a row of it says that it begins."""
    chain = filled(tmp_path, (3, "asl-1", 0), (4, "asl-3", 1), (2, "asl-2", 2))
    compress(segment(chain.directory, 0))
    first, second, _ = chosen(chain)
    assert prune(chain.directory, [first, second], chain.record) == 2
    found = verify_chain(chain.directory, chain.head)
    assert (found.ok, found.first, found.rows) == (True, 7, 5)
    rows = [row for row in export(tmp_path) if b'"kind":"pruned"' in row]
    assert b'"first":0' in rows[0]
    assert b'"last":2' in rows[0]
    assert b'"level":"asl-3"' in rows[1]
    assert b'"reason":"expired"' in rows[1]
    assert prune(chain.directory, chosen(chain), chain.record) == 1
    assert verify_chain(chain.directory, chain.head).ok


def test_a_missing_beginning_without_its_row_is_a_fault(tmp_path: Path) -> None:
    """No row, a row for another place and a row with another hash explain nothing."""
    chain = filled(tmp_path, (3, "asl-1", 0), (4, "asl-3", 1))
    first, second = chosen(chain)
    take_away(chain.directory, 0)
    fault = verify_chain(chain.directory, chain.head).faults[0]
    assert (fault.file, fault.line) == (segment(chain.directory, 3).name, 1)
    assert "row 3 follows row -1" in fault.message
    chain.record(Kind.PRUNED, row_of(second))
    chain.record(Kind.PRUNED, {**row_of(first), "last_hash": "0" * 64})
    chain.record(Kind.CHANGE, row_of(first))
    assert not verify_chain(chain.directory, chain.head).ok
    chain.record(Kind.PRUNED, row_of(first))
    assert verify_chain(chain.directory, chain.head).ok


def test_a_hole_is_a_fault_whatever_rows_say(tmp_path: Path) -> None:
    """Only a beginning can be pruned."""
    chain = filled(tmp_path, (3, "asl-1", 0), (4, "asl-3", 1))
    prune(chain.directory, chosen(chain)[1:], chain.record)
    assert "row 7 follows row 2" in verify_chain(chain.directory, chain.head).faults[0].message


def test_stopped_between_any_two_steps_the_chain_verifies_and_pruning_goes_on(tmp_path: Path) -> None:
    """A row without its removal, and half of the segments: both are sound, and the next pruning does the rest."""
    chain = filled(tmp_path, (3, "asl-1", 0), (4, "asl-3", 1), (2, "asl-2", 2))
    candidates_ = chosen(chain)
    for candidate in candidates_:
        chain.record(Kind.PRUNED, row_of(candidate))
        assert verify_chain(chain.directory, chain.head).ok
    take_away(chain.directory, 0)
    assert verify_chain(chain.directory, chain.head).ok
    assert prune(chain.directory, chosen(chain), chain.record) == 2
    assert verify_chain(chain.directory, chain.head).ok
    assert len(segments(chain.directory)) == 1


def test_what_cannot_be_recorded_stays(tmp_path: Path) -> None:
    """Without its row no segment goes."""
    chain = filled(tmp_path, (3, "asl-1", 0), (4, "asl-3", 1))
    recorded: list[Kind] = []

    def once(kind: Kind, fields: object) -> None:
        if recorded:
            raise LedgerError("no space left")
        recorded.append(kind)
        chain.record(kind, fields)  # type: ignore[arg-type]  # a row, as it was given

    with pytest.raises(LedgerError):
        prune(chain.directory, chosen(chain), once)
    assert [path.name for path in segments(chain.directory)] == [segment(chain.directory, at).name for at in (3, 7)]
    assert verify_chain(chain.directory, chain.head).ok


def test_a_row_beyond_the_head_explains_nothing(tmp_path: Path) -> None:
    """Who can only write files can add a row at the end, but not move the head that the store keeps."""
    chain = filled(tmp_path, (3, "asl-1", 0), (4, "asl-3", 1))
    (first, _), head = chosen(chain), chain.head
    chain.record(Kind.PRUNED, row_of(first))
    take_away(chain.directory, 0)
    assert "row 3 follows row -1" in verify_chain(chain.directory, head).faults[0].message
    assert verify_chain(chain.directory, chain.head).ok
