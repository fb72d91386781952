"""Sound chains for tests: several segments, with heads, without a gateway."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from gateway.ledger.base import Field, Kind
from gateway.ledger.rows import ZERO, seal
from gateway.ledger.segments import segment

DAY_MS = 86_400_000


class Chain:
    """A chain that grows row by row. ``heads`` are its (sequence, hash) pairs."""

    def __init__(self, root: Path, replica: str = "r1") -> None:
        self.directory = root / replica
        self.directory.mkdir(parents=True)
        self.heads: list[tuple[int, str]] = []
        self._path = segment(self.directory, 0)

    @property
    def head(self) -> tuple[int, str]:
        """The last row."""
        return self.heads[-1]

    def row(self, kind: Kind = Kind.OUTCOME, **fields: Field) -> None:
        """One more row in the current segment."""
        sequence, previous = (self.head[0] + 1, self.head[1]) if self.heads else (0, ZERO)
        line, digest = seal(
            {"replica": self.directory.name, "kind": kind.value, "time_ms": 0, **fields, "seq": sequence}, previous
        )
        with self._path.open("ab") as file:
            file.write(line)
        self.heads.append((sequence, digest))

    def turn(self) -> None:
        """The next row begins a new segment."""
        self._path = segment(self.directory, self.head[0] + 1)

    def record(self, kind: Kind, fields: Mapping[str, Field]) -> None:
        """A row as the holder of the chain would record it."""
        self.row(kind, **fields)


def filled(root: Path, *segments_of: tuple[int, str, int], replica: str = "r1") -> Chain:
    """One segment for each (rows, level, day of its rows), and an open one with one row of day 0 of the epoch's far future."""
    chain = Chain(root, replica)
    for rows, level, day in segments_of:
        for number in range(rows):
            chain.row(
                Kind.OUTCOME,
                asl=level,
                decision=f"d-{chain.heads[-1][0] + 1 if chain.heads else 0}",
                time_ms=day * DAY_MS + number,
            )
        chain.turn()
    chain.row(Kind.POLICY, time_ms=1000 * DAY_MS)
    return chain
