"""What ``evaluate`` reads: JSON lines, plain or gzip, and the files of authored texts; and samples of large sources."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from classifiers.constitution.reader import load
from classifiers.rows import Row, read_rows
from classifiers.train.authored import Authored, read_file


def read_data(paths: Iterable[Path]) -> list[Row]:
    """The rows of all files, ``.txt`` being authored texts and a folder all of its ``.txt``. Raises DataError."""
    rows: list[Row] = []
    for path in paths:
        files = sorted(path.glob("*.txt")) if path.is_dir() else [path]
        for file in files:
            rows += read_texts(file) if file.suffix == ".txt" else read_rows(file)
    return rows


def read_texts(path: Path) -> list[Row]:
    """Authored texts as rows that know their field and genre. Raises DataError."""
    return [_row(one) for one in read_file(path, load())]


def _row(one: Authored) -> Row:
    field = one.topic.partition(".")[0]
    return replace(one.row, field="" if field == "none" else field, genre=one.genre)


def sample(rows: Sequence[Row], most: int) -> list[Row]:
    """At most so many rows of each source and label, the same ones each time; all of them for 0."""
    if not most:
        return list(rows)
    groups: dict[tuple[str, str], list[Row]] = defaultdict(list)
    for row in rows:
        groups[row.source, row.label].append(row)
    return [row for group in groups.values() for row in sorted(group, key=_chance)[:most]]


def _chance(row: Row) -> str:
    return hashlib.sha256(row.id.encode()).hexdigest()
