"""A chain that no gateway holds is continued for one piece of work."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.fake_clock import FakeClock
from support.ledger_chains import filled

from gateway.ledger.base import Kind
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
