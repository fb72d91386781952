"""Copying sealed segments elsewhere: compressed, on disk, read back, and on record before anything relies on it.

Anyone with the directory copies (``ship``) and leaves a note beside the segment; the holder of the chain puts it on record
(``record_shipments``). Only then does the shipment count.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from gateway.ledger.base import Field, Kind, LedgerError
from gateway.ledger.retention import Shipment, marker, shipment_of
from gateway.ledger.sealing import DRAFT, digest_of, pack
from gateway.ledger.segments import packed, sync_directory
from gateway.ledger.verify import Span

NOTE = ".shipping"

# Puts a row on record; returns when it is on disk, a ``pruned`` row when the head covers it too. Raises LedgerError.
Record = Callable[[Kind, Mapping[str, Field]], None]


def ship(directory: Path, spans: Iterable[Span], to: Path) -> list[Path]:
    """Copy these verified segments into ``to``/<replica>/; the copies that were made, in order. Those already on record are left out.

    Raises OSError, LedgerError with what was copied so far noted.
    """
    target = to / directory.name
    target.mkdir(parents=True, exist_ok=True, mode=0o700)
    made: list[Path] = []
    for span in spans:
        if shipment_of(directory, span) is None:
            made.append(_copy(directory / span.name, target))
            _note(directory, span, Shipment(str(made[-1].absolute()), digest_of(made[-1])))
    return made


def _copy(path: Path, target: Path) -> Path:
    """One copy. One of the same contents that is there already is as good; another is never written over."""
    copy = target / packed(path).name
    if copy.exists():
        if digest_of(copy) != digest_of(path):
            raise LedgerError(f"{copy}: is there already and holds something else")
        return copy
    draft = copy.with_name(DRAFT + copy.name)
    try:
        pack(path, draft)
        draft.rename(copy)
    finally:
        draft.unlink(missing_ok=True)
    sync_directory(target)
    return copy


def _note(directory: Path, span: Span, shipment: Shipment) -> None:
    note = marker(directory, span.first).with_suffix(NOTE)
    draft = note.with_name(DRAFT + note.name)
    draft.write_text(
        json.dumps(
            {
                "first": span.first,
                "last": span.last,
                "last_hash": span.digest,
                "to": shipment.to,
                "sha256": shipment.sha256,
            }
        )
    )
    draft.rename(note)


def record_shipments(directory: Path, record: Record) -> int:
    """Put every noted shipment on record; how many. What is not a note of ours is left alone and counts for nothing."""
    done = 0
    for note in sorted(directory.glob(f"[0-9]*{NOTE}")):
        try:
            data = json.loads(note.read_text())
            row: dict[str, Field] = {key: int(data[key]) for key in ("first", "last")}
            row |= {key: str(data[key]) for key in ("last_hash", "to", "sha256")}
        except (ValueError, KeyError, TypeError):
            continue
        record(Kind.SHIPPED, row)
        note.rename(marker(directory, int(row["first"])))
        done += 1
    return done
