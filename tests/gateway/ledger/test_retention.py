"""What may be pruned: nothing that any row in it still needs, nothing out of order, nothing of a broken chain."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from support.ledger_chains import DAY_MS, filled

from gateway.ledger.retention import candidates, longer, marker, names, read, shipment_of, written
from gateway.ledger.verify import Chain, verify_chain

KEPT = {1: 30, 2: 90, 3: 365, 4: 1095, 5: 1825}


def reasons(chain: Chain, directory: Path, day: int, *, shipped: bool = False) -> list[tuple[int, str]]:
    """First sequence and reason of what may go on a day."""
    found = candidates(chain, directory, KEPT, day * DAY_MS, shipped=shipped)
    return [(candidate.span.first, candidate.reason) for candidate in found]


def test_a_segment_goes_when_its_strictest_row_is_expired(tmp_path: Path) -> None:
    """The newest row and the strictest level count; a chain has no holes, and the open segment stays."""
    made = filled(tmp_path, (2, "asl-1", 0), (2, "asl-3", 0), (2, "asl-1", 1))
    chain = verify_chain(made.directory, made.head)
    assert reasons(chain, made.directory, 30) == []
    assert reasons(chain, made.directory, 31) == [(0, "expired")]
    assert reasons(chain, made.directory, 365) == [(0, "expired")]
    assert reasons(chain, made.directory, 366) == [(0, "expired"), (2, "expired"), (4, "expired")]
    assert reasons(chain, made.directory, 100_000) == [(0, "expired"), (2, "expired"), (4, "expired")]


def test_a_broken_chain_is_evidence(tmp_path: Path) -> None:
    """Nothing of it may go."""
    made = filled(tmp_path, (2, "asl-1", 0))
    chain = verify_chain(made.directory, (2, "0" * 64))
    assert not chain.ok
    assert reasons(chain, made.directory, 100_000) == []


def test_a_shipped_segment_may_go_where_that_is_reason_enough(tmp_path: Path) -> None:
    """Only with a marker for just this segment, by its last hash."""
    made = filled(tmp_path, (2, "asl-5", 0), (2, "asl-5", 0))
    chain = verify_chain(made.directory, made.head)
    shipment = {"first": 0, "last": 1, "last_hash": chain.spans[0].digest, "to": "/archive/x", "sha256": "…"}
    marker(made.directory, 0).write_text(json.dumps(shipment))
    marker(made.directory, 2).write_text(json.dumps(shipment))
    assert reasons(chain, made.directory, 1, shipped=True) == [(0, "shipped")]
    assert reasons(chain, made.directory, 1) == []
    assert shipment_of(made.directory, chain.spans[1]) is None
    for text in ("", "[]", "{}", '{"last_hash": 1}'):
        marker(made.directory, 0).write_text(text)
        assert shipment_of(made.directory, chain.spans[0]) is None
    assert names(chain.spans)[1] == "00000000000000000002.jsonl"


def test_the_form_in_start_rows() -> None:
    """It is read back, joined with another by the longer, and refused when it is none."""
    assert read(written(KEPT)) == KEPT
    assert longer(KEPT, {1: 31, 2: 1, 3: 400, 4: 1, 5: 1}) == {1: 31, 2: 90, 3: 400, 4: 1095, 5: 1825}
    for text in ("", "1,2", "1,2,3,4,x", "0,1,1,1,1"):
        with pytest.raises(ValueError):
            read(text)
