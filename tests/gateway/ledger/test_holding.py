"""A chain that no gateway holds is continued for one piece of work."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.fake_clock import FakeClock
from support.ledger_chains import filled

from gateway.ledger import holding as room
from gateway.ledger.base import Kind, LedgerError
from gateway.ledger.files import LedgerTampered
from gateway.ledger.holding import hold
from gateway.ledger.segments import take
from gateway.ledger.shipping import Record
from gateway.ledger.verify import verify_chain


def test_rows_are_recorded_and_the_slot_is_given_back(tmp_path: Path) -> None:
    """The chain verifies to the head that was stored, and another process can take it."""
    chain = filled(tmp_path, (3, "asl-1", 0))
    heads = [chain.head]
    slot = take(chain.directory)
    assert slot is not None
    assert take(chain.directory) is None

    def work(record: Record) -> str:
        record(Kind.SHIPPED, {"first": 0})
        return "done"

    clock = FakeClock()
    assert hold(slot, chain.head, clock, lambda _, *head: heads.append(head), work) == "done"  # type: ignore[arg-type]
    found = verify_chain(chain.directory, heads[-1])
    assert (found.ok, found.rows) == (True, 5)
    again = take(chain.directory)
    assert again is not None
    with pytest.raises(LedgerTampered):
        hold(again, (99, "x"), clock, lambda *_: None, work)
    last = take(chain.directory)
    assert last is not None

    def failing(_record: Record) -> None:
        raise OSError("no")

    with pytest.raises(OSError, match="no"):
        hold(last, heads[-1], clock, lambda *_: None, failing)
    free = take(chain.directory)
    assert free is not None
    free.release()


def test_a_pruned_row_is_on_record_only_within_the_head(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What it allows to be removed must never be explained by a row that a lost head leaves outside."""
    chain = filled(tmp_path, (3, "asl-1", 0))
    heads = [chain.head[0]]
    slot = take(chain.directory)
    assert slot is not None
    hold(
        slot,
        chain.head,
        FakeClock(),
        lambda _, sequence, __: heads.append(sequence),
        lambda record: record(Kind.PRUNED, {"first": 0}),
    )
    assert heads[-1] == 4
    monkeypatch.setattr(room, "HEAD_SECONDS", 0.1)
    slot = take(chain.directory)
    assert slot is not None

    def gone(*_: object) -> None:
        raise RuntimeError("store is gone")

    head = verify_chain(chain.directory, None)
    with pytest.raises(LedgerError, match="does not move to row 5"):
        hold(slot, (head.sequence, head.digest), FakeClock(), gone, lambda record: record(Kind.PRUNED, {"first": 0}))
