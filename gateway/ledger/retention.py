"""Which segments may go: expired ones, every row of which is past the retention of the strictest level in it, and shipped ones."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from gateway.ledger.levels import STRICTEST
from gateway.ledger.segments import SUFFIX
from gateway.ledger.verify import Chain, Span

DAY_MS = 86_400_000
SHIPPED = ".shipped"

Retention = Mapping[int, int]  # level 1 to 5 to days, never fewer above


@dataclass(frozen=True, slots=True)
class Shipment:
    """A copy of a segment elsewhere: where, and SHA-256 of its uncompressed bytes, which were compared."""

    to: str
    sha256: str


@dataclass(frozen=True, slots=True)
class Candidate:
    """A segment that may be pruned, and why: ``expired`` or ``shipped``."""

    span: Span
    reason: str
    to: str = ""


def written(retention: Retention) -> str:
    """The form in ``start`` rows: days of levels 1 to 5."""
    return ",".join(str(retention[level]) for level in range(1, STRICTEST + 1))


def read(text: str) -> Retention:
    """The reverse of ``written``. Raises ValueError."""
    days = [int(part) for part in text.split(",")]
    if len(days) != STRICTEST or min(days) < 1:
        raise ValueError(f"not a retention: {text!r}")
    return dict(enumerate(days, 1))


def longer(first: Retention, second: Retention) -> Retention:
    """The longer of two, level by level."""
    return {level: max(first[level], second[level]) for level in range(1, STRICTEST + 1)}


def candidates(chain: Chain, directory: Path, retention: Retention, now_ms: int, *, shipped: bool) -> list[Candidate]:
    """The segments at the beginning of a verified chain that may be pruned; never the last one, which is being written.

    ``shipped``: whether a copy elsewhere is reason enough. A chain with faults is kept as it is: it is evidence.
    """
    found: list[Candidate] = []
    for span in chain.spans[:-1] if chain.ok else ():
        shipment = shipment_of(directory, span) if shipped else None
        if expired(span, retention, now_ms):
            found.append(Candidate(span, "expired"))
        elif shipment is not None:
            found.append(Candidate(span, "shipped", shipment.to))
        else:
            break  # a chain has no holes
    return found


def expired(span: Span, retention: Retention, now_ms: int) -> bool:
    """Whether the newest row is past the retention of the strictest level. Rows of no level alone are kept like those of the lowest."""
    return span.newest_ms + retention[max(span.level, 1)] * DAY_MS < now_ms


def marker(directory: Path, first: int) -> Path:
    """Where it stands that the segment which begins with this sequence was shipped and that this is on record."""
    return directory / f"{first:020d}{SHIPPED}"


def shipment_of(directory: Path, span: Span) -> Shipment | None:
    """The shipment of a segment, if there was one."""
    try:
        data = json.loads(marker(directory, span.first).read_text())
        return Shipment(str(data["to"]), str(data["sha256"])) if data["last_hash"] == span.digest else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def names(spans: Iterable[Span]) -> list[str]:
    """Segments as their plain names, whatever form they are in."""
    return [f"{span.first:020d}{SUFFIX}" for span in spans]
