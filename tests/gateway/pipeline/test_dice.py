"""Ids of exchanges never come twice."""

from __future__ import annotations

import re

from gateway.pipeline.dice import Dice


def test_no_id_comes_twice() -> None:
    """Over several draws from the operating system, and for two pipelines, all ids are sixteen digits and different."""
    one, other = Dice(), Dice()
    found = [one.take() for _ in range(2000)] + [other.take() for _ in range(2000)]
    assert len(set(found)) == 4000
    assert all(re.fullmatch("[0-9a-f]{16}", ident) for ident in found)
