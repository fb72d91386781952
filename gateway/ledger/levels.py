"""Which level a row belongs to: rows are kept as long as the profile of the strictest level among them says."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache

from gateway.ledger.base import Field, Kind

STRICTEST = 5


def strictest(row: Mapping[str, Field]) -> int:
    """The stricter standard of the level that a row names, 0 where it names none.

    An operator's act that names no level (a release, a rule) is kept like one on the strictest.
    """
    level = row.get("asl", row.get("level"))
    if isinstance(level, str):
        return _standards(level)
    return STRICTEST if row.get("kind") == Kind.CHANGE else 0


@lru_cache(maxsize=64)
def _standards(level: str) -> int:
    """``asl-3/security-4``: 4. What is no level of ours counts as the strictest, ``none`` as none."""
    if level == "none":
        return 0
    found = re.fullmatch(r"asl-([1-5])(?:/security-([1-5]))?", level)
    return max(int(found[1]), int(found[2] or 0)) if found else STRICTEST
