"""Reading chains: all of their rows, or those of one decision without reading everything."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from pathlib import Path

from gateway.ledger.base import Kind
from gateway.ledger.rows import RowInvalid, parse
from gateway.ledger.segments import BLOCK, SegmentDamaged, chains, decompressing, lines, opened, raw_lines, segments

# Rows of a decision are written from the moment that its id tells, give or take a clock that was set; past the second hour they are rare.
BEFORE_MS = 60 * 60 * 1000
AFTER_MS = 2 * 60 * 60 * 1000
ENDINGS = {Kind.OUTCOME, Kind.CHANGE}

Row = dict[str, str | int]


def export(root: Path) -> Iterator[bytes]:
    """Every whole line of every chain, chain by chain, oldest first, without newlines. Raises SegmentDamaged."""
    for directory in chains(root):
        for path in segments(directory):
            with contextlib.suppress(FileNotFoundError):  # pruned since it was listed
                for line in lines(path):
                    if line.whole:
                        yield line.data


def show(root: Path, decision: str) -> list[Row]:
    """The rows of one decision, oldest first; those that cover it together with others where it has none of its own.

    Rows that do not verify raise RowInvalid: a record that cannot be trusted is no record.
    """
    needle = f'"decision":"{decision}"'.encode()
    when = moment(decision)
    found = [row for directory in chains(root) for row in _rows(directory, needle, when)]
    if found or when is None:
        return found
    needle = f'"from":"{second_of(when)}"'.encode()
    return [row for directory in chains(root) for row in _rows(directory, needle, when)]


def moment(decision: str) -> int | None:
    """The time in an id of ours, in ms: ``d-``, 11 hexadecimal digits of it, and 16 random ones."""
    match = re.fullmatch(r"d-([0-9a-f]{11})[0-9a-f]{16}", decision)
    return int(match[1], 16) if match else None


def second_of(when: int) -> str:
    """The beginning of all ids of a time's second."""
    return f"d-{when // 1000 * 1000:011x}"


def _rows(directory: Path, needle: bytes, when: int | None) -> list[Row]:
    """First where the id's time says; anywhere else only when it is not there, since clocks can be wrong."""
    files = segments(directory)
    likely = files if when is None else _likely(files, when)
    found = _within(likely, needle)
    return found or _within([path for path in files if path not in likely], needle)


def _likely(files: list[Path], when: int) -> list[Path]:
    """The segments whose rows may be of this time, by the time of the first row of each."""
    times = [begins(path) for path in files]
    ends = [*times[1:], None]
    return [
        path
        for path, begin, end in zip(files, times, ends, strict=True)
        if (begin is None or begin <= when + AFTER_MS) and (end is None or end >= when - BEFORE_MS)
    ]


def begins(path: Path) -> int | None:
    """The time of a segment's first row, in ms; None where it has none that can be read."""
    try:
        _, data = next(iter(raw_lines(path)))
        return int(parse(data.rstrip(b"\n"))["time_ms"])
    except (StopIteration, OSError, SegmentDamaged, RowInvalid, KeyError):
        return None


def _within(files: list[Path], needle: bytes) -> list[Row]:
    found: list[Row] = []
    for path in files:
        with contextlib.suppress(FileNotFoundError):  # pruned since it was listed
            if _holds(path, needle):
                found += [parse(line.data) for line in lines(path) if line.whole and needle in line.data]
        if found and found[-1].get("kind") in ENDINGS:
            break  # every exchange ends in exactly one such row
    return found


def _holds(path: Path, needle: bytes) -> bool:
    """Whether a segment has these bytes; ten times as fast as looking at each line."""
    kept = b""
    with decompressing(path), opened(path) as file:
        while block := file.read(BLOCK):
            if needle in kept + block:
                return True
            kept = block[-len(needle) :]
    return False
