"""The level of a row decides how long it is kept; what is unclear is kept longest."""

from __future__ import annotations

import pytest

from gateway.ledger.base import Field
from gateway.ledger.levels import strictest


@pytest.mark.parametrize(
    ("row", "level"),
    [
        ({"kind": "outcome", "asl": "asl-2"}, 2),
        ({"kind": "outcome", "asl": "asl-1/security-4"}, 4),
        ({"kind": "outcome", "asl": "none"}, 0),
        ({"kind": "outcome", "asl": "ASL-9"}, 5),
        ({"kind": "policy"}, 0),
        ({"kind": "change", "level": "asl-4"}, 4),
        ({"kind": "change", "asl": "asl-1"}, 1),
        ({"kind": "change", "act": "release"}, 5),
        ({"kind": "outcome", "asl": 3}, 0),
    ],
)
def test_the_level_of_a_row(row: dict[str, Field], level: int) -> None:
    """The stricter standard counts; an act that names no level is kept like one on the strictest."""
    assert strictest(row) == level
