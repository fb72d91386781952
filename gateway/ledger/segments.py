"""The files of a chain, and the slot of a replica.

A segment is ``<first sequence, 20 digits>.jsonl`` in the replica's directory; a sealed one may stand as ``.jsonl.gz`` instead, or for a
moment as both. ``segments`` names each once, the plain file where it is there.
"""

from __future__ import annotations

import contextlib
import fcntl
import gzip
import io
import os
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from gateway.ledger.base import LedgerError
from gateway.ledger.rows import MAX_LINE

SUFFIX = ".jsonl"
PACKED = ".jsonl.gz"
SLOTS = 64
BLOCK = 1 << 20


class SegmentDamaged(LedgerError):
    """A compressed segment cannot be read to its end."""


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a segment. ``whole`` is False for a last line without its newline; ``offset`` is where it begins in its file."""

    file: Path
    number: int
    offset: int
    data: bytes
    whole: bool


def segments(directory: Path) -> list[Path]:
    """The segment files of a chain, oldest first, each in one form."""
    found: dict[int, Path] = {}
    for path in directory.iterdir():
        number, dot, rest = path.name.partition(".")
        if number.isdecimal() and dot + rest in {SUFFIX, PACKED}:
            first = int(number)
            if first not in found or dot + rest == SUFFIX:
                found[first] = path
    return [found[first] for first in sorted(found)]


def segment(directory: Path, first: int) -> Path:
    """The plain file of the segment that begins with this sequence."""
    return directory / f"{first:020d}{SUFFIX}"


def packed(path: Path) -> Path:
    """The compressed form of a segment, of which either form is given."""
    return path.with_name(path.name.partition(".")[0] + PACKED)


def plain(path: Path) -> Path:
    """The plain form of a segment, of which either form is given."""
    return path.with_name(path.name.partition(".")[0] + SUFFIX)


def first_of(path: Path) -> int:
    """The sequence that a segment's name promises."""
    return int(path.name.partition(".")[0])


def opened(path: Path) -> BinaryIO:
    """A segment's bytes, in whichever form it stands now: it may have been compressed since it was listed.

    Raises FileNotFoundError when it is there in neither form (it was pruned).
    """
    for form in (path, packed(path), plain(path)):
        with contextlib.suppress(FileNotFoundError):
            if form.name.endswith(PACKED):
                return io.BufferedReader(gzip.open(form), BLOCK)
            return form.open("rb")
    raise FileNotFoundError(path)


def raw_lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """Offset and bytes of each line with its newline, in constant memory: an overlong line comes cut, which no row survives.

    Raises FileNotFoundError, SegmentDamaged.
    """
    offset = 0
    with decompressing(path), opened(path) as file:
        while data := file.readline(MAX_LINE + 2):
            yield offset, data
            offset += len(data)


@contextlib.contextmanager
def decompressing(path: Path) -> Iterator[None]:
    """Translates what a damaged archive raises. Raises SegmentDamaged."""
    try:
        yield
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise SegmentDamaged(f"{path.name} cannot be decompressed: {error}") from error


def lines(path: Path) -> Iterator[Line]:
    """The lines of a segment with their places. Raises as ``raw_lines``."""
    for number, (offset, data) in enumerate(raw_lines(path), 1):
        whole = data.endswith(b"\n")
        yield Line(path, number, offset, data[:-1] if whole else data, whole)


def sync_directory(path: Path) -> None:
    """Have names on disk, not only contents."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def chains(root: Path) -> list[Path]:
    """The directories of all chains under ``ledger/``."""
    return sorted(path for path in root.iterdir() if path.is_dir()) if root.is_dir() else []


@dataclass(frozen=True, slots=True)
class Slot:
    """A replica's place in a shared state directory, held by a file lock for as long as the process lives."""

    replica: str
    directory: Path
    lock: int

    def release(self) -> None:
        """Let another process continue this chain."""
        os.close(self.lock)


def claim(root: Path) -> Slot:
    """Take the first free slot (``r1``, ``r2``, …): a restarted process continues its chain, a second one beside it starts another.

    Raises LedgerError when the directory cannot be used or all slots are taken.
    """
    for number in range(1, SLOTS + 1):
        if slot := take(root / f"r{number}"):
            return slot
    raise LedgerError(f"{root}: all {SLOTS} replica slots are taken")


def take(directory: Path) -> Slot | None:
    """The slot of this directory, or None when a process holds it. Raises LedgerError when it cannot be used."""
    try:
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        lock = os.open(directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise LedgerError(f"{directory}: {error.strerror}") from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(lock)
        return None
    return Slot(directory.name, directory, lock)
