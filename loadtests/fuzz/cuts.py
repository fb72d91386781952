"""Cutting bytes: every incremental parser must say the same wherever its input is cut."""

from __future__ import annotations

import zlib
from itertools import pairwise
from random import Random
from typing import TypeVar

Data = TypeVar("Data", bytes, str)


def pieces(data: Data) -> list[Data]:
    """The input in up to seven pieces (single characters for some), at places that depend on the input alone."""
    raw = data if isinstance(data, bytes) else data.encode("utf-8", "surrogatepass")
    random = Random(zlib.crc32(raw))
    if len(data) < 400 and not random.randrange(4):
        return [data[at : at + 1] for at in range(len(data))]
    places = sorted({0, len(data), *(random.randrange(len(data) + 1) for _ in range(random.randrange(7)))})
    return [data[first:last] for first, last in pairwise(places)]
