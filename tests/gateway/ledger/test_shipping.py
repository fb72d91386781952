"""A shipment counts when the copy was read back and its row is on record; never before."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest
from support.ledger_chains import Chain, filled

from gateway.ledger.base import Kind, LedgerError
from gateway.ledger.retention import marker, shipment_of
from gateway.ledger.sealing import compress
from gateway.ledger.segments import segment
from gateway.ledger.shipping import NOTE, record_shipments, ship
from gateway.ledger.verify import Span, export, verify_chain


def spans(chain: Chain) -> list[Span]:
    """The sealed segments."""
    return verify_chain(chain.directory, chain.head).spans[:-1]


def test_copies_are_whole_and_on_record(tmp_path: Path) -> None:
    """Both forms are copied compressed; the rows name the copies, and a second shipment has nothing to do."""
    chain = filled(tmp_path / "ledger", (3, "asl-1", 0), (4, "asl-3", 1))
    before = segment(chain.directory, 0).read_bytes()
    compress(segment(chain.directory, 0))
    made = ship(chain.directory, spans(chain), tmp_path / "archive")
    assert gzip.decompress(made[0].read_bytes()) == before
    assert made[0].parent == tmp_path / "archive" / "r1"
    assert shipment_of(chain.directory, spans(chain)[0]) is None
    assert record_shipments(chain.directory, chain.record) == 2
    rows = [json.loads(row) for row in export(tmp_path / "ledger") if b'"kind":"shipped"' in row]
    assert [(row["first"], row["last"], row["to"]) for row in rows] == [(0, 2, str(made[0])), (3, 6, str(made[1]))]
    assert rows[0]["last_hash"] == spans(chain)[0].digest
    shipment = shipment_of(chain.directory, spans(chain)[0])
    assert shipment is not None
    assert shipment.to == str(made[0])
    assert ship(chain.directory, spans(chain), tmp_path / "archive") == []
    assert record_shipments(chain.directory, chain.record) == 0
    assert verify_chain(chain.directory, chain.head).ok


def test_a_copy_of_something_else_is_never_written_over(tmp_path: Path) -> None:
    """The same copy is as good as a new one; another is an error, and nothing is noted."""
    chain = filled(tmp_path / "ledger", (3, "asl-1", 0))
    (made,) = ship(chain.directory, spans(chain), tmp_path / "archive")
    assert ship(chain.directory, spans(chain), tmp_path / "archive") == [made]
    made.write_bytes(gzip.compress(b"something else\n"))
    marker(chain.directory, 0).with_suffix(NOTE).unlink()
    with pytest.raises(LedgerError, match="something else"):
        ship(chain.directory, spans(chain), tmp_path / "archive")
    assert record_shipments(chain.directory, chain.record) == 0


def test_notes_that_are_none_and_rows_that_fail_count_for_nothing(tmp_path: Path) -> None:
    """A shipment whose row cannot be written is not one."""
    chain = filled(tmp_path / "ledger", (3, "asl-1", 0))
    for number, text in enumerate(("", "[]", "{}", '{"first": 0}')):
        (chain.directory / f"{number}{NOTE}").write_text(text)
    assert record_shipments(chain.directory, chain.record) == 0
    ship(chain.directory, spans(chain), tmp_path / "archive")

    def full(_kind: Kind, _fields: object) -> None:
        raise LedgerError("no space left")

    with pytest.raises(LedgerError):
        record_shipments(chain.directory, full)
    assert shipment_of(chain.directory, spans(chain)[0]) is None
