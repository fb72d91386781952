"""Taking segments away, never silently: each has a ``pruned`` row on disk before its file goes.

A chain that begins at row N is sound exactly when one of its ``pruned`` rows ends at N-1 with the hash that row N continues. So one
row stands for one segment, and segments go oldest first: killed between any two steps, the chain still explains itself.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from gateway.ledger.base import Field, Kind
from gateway.ledger.retention import Candidate, marker
from gateway.ledger.segments import packed, segment, sync_directory
from gateway.ledger.shipping import Record

# A note in a chain's directory that asks its holder to prune now, what is shipped too.
ASKED = "prune.asked"


def prune(directory: Path, chosen: Iterable[Candidate], record: Record) -> int:
    """Take these segments away, oldest first; how many. Only the holder of the slot may. Raises OSError, LedgerError."""
    done = 0
    for candidate in chosen:
        record(Kind.PRUNED, row_of(candidate))
        take_away(directory, candidate.span.first)
        done += 1
    return done


def row_of(candidate: Candidate) -> dict[str, Field]:
    """The row: what was there, and why it went."""
    span = candidate.span
    return {
        "first": span.first,
        "last": span.last,
        "last_hash": span.digest,
        "newest_ms": span.newest_ms,
        "level": f"asl-{span.level}" if span.level else "none",
        "reason": candidate.reason,
        "to": candidate.to,
    }


def take_away(directory: Path, first: int) -> None:
    """Remove a segment in both forms, then its marker."""
    path = segment(directory, first)
    for form in (packed(path), path):
        form.unlink(missing_ok=True)
    sync_directory(directory)
    marker(directory, first).unlink(missing_ok=True)
