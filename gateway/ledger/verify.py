"""Verification: every row of every chain, in order, in constant memory; running or stopped.

A chain begins with row 0, or where a ``pruned`` row of its own says that the rows before were taken away. On the way, what each segment
holds is noted (``Span``): retention is decided on nothing but verified rows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from gateway.ledger.base import Kind
from gateway.ledger.levels import strictest
from gateway.ledger.reading import export, show
from gateway.ledger.rows import ZERO, RowInvalid, parse
from gateway.ledger.segments import Line, SegmentDamaged, chains, raw_lines, segments

__all__ = ["Chain", "Fault", "Span", "Walk", "export", "missing_head", "show", "verify", "verify_chain"]

# After so many faults of one chain the rest is not worth listing; the chain is broken.
MAX_FAULTS = 20
# A segment may be pruned while a verification is on its way to it; the chain is then begun anew, so often at most.
ATTEMPTS = 5
REPORT_ROWS = 5000

Head = tuple[int, str]
Progress = Callable[[int], None]


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong, and where."""

    file: str
    line: int
    message: str


@dataclass(slots=True)
class Span:
    """What one segment holds: first and last sequence, hash of the last row, the newest time in ms, and the strictest level (0: none)."""

    name: str
    first: int
    last: int
    digest: str
    newest_ms: int
    level: int


@dataclass(slots=True)
class Chain:
    """What verification knows of one chain. ``torn``: a last line without a newline, from a row in flight or a crash."""

    replica: str
    rows: int = 0
    first: int = 0
    sequence: int = -1
    digest: str = ZERO
    time_ms: int = 0  # of the last row; the next one is never earlier
    faults: list[Fault] = field(default_factory=list)
    torn: Line | None = None
    spans: list[Span] = field(default_factory=list)
    retention: str = ""  # as the newest start row states it

    @property
    def ok(self) -> bool:
        """No faults."""
        return not self.faults


class Walk:
    """Follows a chain line by line. After a fault it is picked up again, so that one edit is one fault or two, not thousands."""

    def __init__(self, replica: str, head: Head | None, *, whole: bool = True) -> None:
        """``whole``: the beginning must be row 0 or be explained; without it, any row may be the first."""
        self.chain = Chain(replica)
        self.head_seen = head is None
        self._head = head
        self._begun = False
        self._explained = not whole
        self._origin = (ZERO, Fault("", 0, ""))

    @property
    def hopeless(self) -> bool:
        """Whether the rest is not worth reading."""
        return len(self.chain.faults) >= MAX_FAULTS

    def take(self, path: Path, number: int, offset: int, data: bytes) -> None:
        """The next line, with its newline."""
        chain = self.chain
        if chain.torn is not None:
            self.fault(chain.torn.file.name, chain.torn.number, "a torn line within the chain")
            chain.torn = None
        if not data.endswith(b"\n"):
            chain.torn = Line(path, number, offset, data, whole=False)
            return
        chain.rows += 1
        try:
            row = parse(data[:-1])
        except RowInvalid as error:
            self.fault(path.name, number, str(error))
            chain.sequence += 1
            return
        self._follow(path.name, number, row)

    def fault(self, name: str, number: int, message: str) -> None:
        """Note a fault."""
        self.chain.faults.append(Fault(name, number, message))

    def _follow(self, name: str, number: int, row: dict[str, str | int]) -> None:
        chain = self.chain
        sequence, digest = int(row["seq"]), str(row["hash"])
        if not self._begun:
            self._begin(name, number, sequence, str(row["prev"]))
        if sequence != chain.sequence + 1:
            self.fault(name, number, f"row {sequence} follows row {chain.sequence}")
        elif row["prev"] != chain.digest:
            self.fault(name, number, f"row {sequence} does not continue the chain before it")
        elif row.get("replica") != chain.replica:
            self.fault(name, number, f"row {sequence} belongs to another chain")
        chain.sequence, chain.digest, chain.time_ms = sequence, digest, int(row.get("time_ms", 0))
        if self._head is not None and sequence == self._head[0]:
            self.head_seen = digest == self._head[1]
        self._note(name, row, sequence, digest)

    def _begin(self, name: str, number: int, sequence: int, previous: str) -> None:
        self._begun = True
        chain = self.chain
        chain.first = sequence
        if sequence > 0 and chain.sequence == -1:
            missing = f"row {sequence} follows row -1: rows are missing before it, and no pruned row accounts for them"
            self._origin = (previous, Fault(name, number, missing))
            chain.sequence, chain.digest = sequence - 1, previous
        else:
            self._explained = True

    def _note(self, name: str, row: dict[str, str | int], sequence: int, digest: str) -> None:
        chain, time, level = self.chain, int(row.get("time_ms", 0)), strictest(row)
        if not chain.spans or chain.spans[-1].name != name:
            chain.spans.append(Span(name, sequence, sequence, digest, time, level))
        else:
            span = chain.spans[-1]
            span.last, span.digest = sequence, digest
            span.newest_ms, span.level = max(span.newest_ms, time), max(span.level, level)
        kind = row.get("kind")
        if kind == Kind.PRUNED and (
            self._head is None or sequence <= self._head[0]
        ):  # beyond the head anybody can add rows
            self._explained |= (row.get("last"), row.get("last_hash")) == (chain.first - 1, self._origin[0])
        elif kind == Kind.START and "retention" in row:
            chain.retention = str(row["retention"])

    def end(self, directory: Path) -> Chain:
        """The chain, with the faults that only its end shows."""
        chain = self.chain
        if self._begun and not self._explained:
            chain.faults.insert(0, self._origin[1])
        if not self.head_seen and self._head is not None and chain.ok:
            chain.faults.append(missing_head(chain, self._head, directory))
        return chain


def verify_chain(directory: Path, head: Head | None, progress: Progress = lambda rows: None) -> Chain:
    """Verify one chain against its head (sequence, hash) as the store remembers it. ``progress`` hears of rows as they are done."""
    for _ in range(ATTEMPTS):
        walk = Walk(directory.name, head)
        try:
            _all(walk, directory, progress)
        except FileNotFoundError:  # pruned on the way; what is left begins later and says so
            continue
        return walk.end(directory)
    return Chain(directory.name, faults=[Fault(directory.name, 0, "segments vanish while they are read")])


def _all(walk: Walk, directory: Path, progress: Progress) -> None:
    told = 0
    for path in segments(directory):
        try:
            for number, (offset, data) in enumerate(raw_lines(path), 1):
                walk.take(path, number, offset, data)
                if walk.hopeless:
                    return
                if walk.chain.rows - told >= REPORT_ROWS:
                    progress(walk.chain.rows - told)
                    told = walk.chain.rows
        except SegmentDamaged as error:
            walk.fault(path.name, 0, str(error))
        except FileNotFoundError:
            progress(-told)
            raise
    progress(walk.chain.rows - told)


def missing_head(chain: Chain, head: Head, directory: Path) -> Fault:
    """Why the head was not met."""
    if chain.sequence < head[0]:
        message = f"the chain ends at row {chain.sequence}, but row {head[0]} was written: rows are missing"
    else:
        message = f"row {head[0]} is not the row that was written"
    files = segments(directory)
    return Fault(files[-1].name if files else directory.name, 0, message)


def verify(root: Path, heads: Mapping[str, Head], progress: Progress = lambda rows: None) -> list[Chain]:
    """Verify all chains under ``ledger/``, and that none is missing which the store has a head of."""
    found = [verify_chain(directory, heads.get(directory.name), progress) for directory in chains(root)]
    names = {chain.replica for chain in found}
    missing = sorted(set(heads) - names)
    return found + [Chain(replica, faults=[Fault(replica, 0, "the chain is missing")]) for replica in missing]
