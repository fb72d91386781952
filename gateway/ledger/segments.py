"""The files of a chain: ``<first sequence, 20 digits>.jsonl`` in the replica's directory, in order; and the slot of a replica."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from gateway.ledger.base import LedgerError
from gateway.ledger.rows import MAX_LINE

SUFFIX = ".jsonl"
SLOTS = 64


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a segment. ``whole`` is False for a last line without its newline; ``offset`` is where it begins in its file."""

    file: Path
    number: int
    offset: int
    data: bytes
    whole: bool


def segments(directory: Path) -> list[Path]:
    """The segment files of a chain, oldest first."""
    return sorted(path for path in directory.glob("*" + SUFFIX) if path.stem.isdigit())


def segment(directory: Path, first: int) -> Path:
    """The file of the segment that begins with this sequence."""
    return directory / f"{first:020d}{SUFFIX}"


def lines(path: Path) -> Iterator[Line]:
    """The lines of a file, in constant memory: an overlong line comes cut, which no row survives."""
    offset, number = 0, 0
    with path.open("rb") as file:
        while data := file.readline(MAX_LINE + 2):
            number += 1
            whole = data.endswith(b"\n")
            yield Line(path, number, offset, data[:-1] if whole else data, whole)
            offset += len(data)


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
        directory = root / f"r{number}"
        try:
            directory.mkdir(parents=True, exist_ok=True, mode=0o700)
            lock = os.open(directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise LedgerError(f"{directory}: {error.strerror}") from error
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(lock)
            continue
        return Slot(directory.name, directory, lock)
    raise LedgerError(f"{root}: all {SLOTS} replica slots are taken")
