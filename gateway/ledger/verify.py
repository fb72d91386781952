"""Verification: every row of every chain, in order, in constant memory; running or stopped."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from gateway.ledger.rows import ZERO, RowInvalid, parse
from gateway.ledger.segments import Line, chains, lines, segments

# After so many faults of one chain the rest is not worth listing; the chain is broken.
MAX_FAULTS = 20


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong, and where."""

    file: str
    line: int
    message: str


@dataclass(slots=True)
class Chain:
    """What verification knows of one chain. ``torn``: a last line without a newline, from a row in flight or a crash."""

    replica: str
    rows: int = 0
    sequence: int = -1
    digest: str = ZERO
    time_ms: int = 0  # of the last row; the next one is never earlier
    faults: list[Fault] = field(default_factory=list)
    torn: Line | None = None

    @property
    def ok(self) -> bool:
        """No faults."""
        return not self.faults


def verify_chain(directory: Path, head: tuple[int, str] | None) -> Chain:
    """Verify one chain against its head (sequence, hash) as the store remembers it."""
    chain = Chain(directory.name)
    head_seen = head is None
    for line in _chain_lines(directory):
        if chain.torn is not None:
            chain.faults.append(Fault(chain.torn.file.name, chain.torn.number, "a torn line within the chain"))
            chain.torn = None
        if len(chain.faults) >= MAX_FAULTS:
            break
        if not line.whole:
            chain.torn = line
            continue
        _follow(chain, line)
        if head is not None and chain.sequence == head[0]:
            head_seen = chain.digest == head[1]
    if head is not None and not head_seen and chain.ok:
        chain.faults.append(_missing_head(chain, head, directory))
    return chain


def _chain_lines(directory: Path) -> Iterator[Line]:
    for path in segments(directory):
        yield from lines(path)


def _follow(chain: Chain, line: Line) -> None:
    """Take one row; after a fault the chain is picked up again, so that one edit is one fault or two, not thousands."""
    chain.rows += 1
    try:
        row = parse(line.data)
    except RowInvalid as error:
        chain.faults.append(Fault(line.file.name, line.number, str(error)))
        chain.sequence += 1
        return
    sequence, digest = int(row["seq"]), str(row["hash"])
    if sequence != chain.sequence + 1:
        chain.faults.append(Fault(line.file.name, line.number, f"row {sequence} follows row {chain.sequence}"))
    elif row["prev"] != chain.digest:
        chain.faults.append(Fault(line.file.name, line.number, f"row {sequence} does not continue the chain before it"))
    elif row.get("replica") != chain.replica:
        chain.faults.append(Fault(line.file.name, line.number, f"row {sequence} belongs to another chain"))
    chain.sequence, chain.digest, chain.time_ms = sequence, digest, int(row.get("time_ms", 0))


def _missing_head(chain: Chain, head: tuple[int, str], directory: Path) -> Fault:
    if chain.sequence < head[0]:
        message = f"the chain ends at row {chain.sequence}, but row {head[0]} was written: rows are missing"
    else:
        message = f"row {head[0]} is not the row that was written"
    files = segments(directory)
    return Fault(files[-1].name if files else directory.name, 0, message)


def verify(root: Path, heads: Mapping[str, tuple[int, str]]) -> list[Chain]:
    """Verify all chains under ``ledger/``, and that none is missing which the store has a head of."""
    found = [verify_chain(directory, heads.get(directory.name)) for directory in chains(root)]
    names = {chain.replica for chain in found}
    missing = sorted(set(heads) - names)
    return found + [Chain(replica, faults=[Fault(replica, 0, "the chain is missing")]) for replica in missing]


def export(root: Path) -> Iterator[bytes]:
    """Every whole line of every chain, chain by chain, oldest first, without newlines."""
    for directory in chains(root):
        for line in _chain_lines(directory):
            if line.whole:
                yield line.data


def show(root: Path, decision: str) -> list[dict[str, str | int]]:
    """The rows of one decision, oldest first. Rows that do not verify raise RowInvalid: a record that cannot be trusted is no record."""
    needle = f'"decision":"{decision}"'.encode()
    return [parse(data) for data in export(root) if needle in data]
