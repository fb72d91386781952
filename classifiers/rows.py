"""Rows of training and evaluation data: JSON lines, plain or gzip, one object a line with at least id, text, label, source."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any


class DataError(ValueError):
    """A data file is missing or has a line that is not a row; the message says which."""


@dataclass(frozen=True, slots=True)
class Row:
    """One labelled text. ``group`` ties rows that must not be split between training and testing.

    ``attack``: how it is disguised; ``field`` and ``genre``: of what and of what kind it is. Empty where nobody says.
    """

    id: str
    text: str
    label: str
    source: str
    lang: str = "en"
    group: str = ""
    attack: str = ""
    field: str = ""
    genre: str = ""


def read_lines(path: Path) -> list[str]:
    """The lines of a file, plain or gzip. Raises DataError."""
    try:
        content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        return content.decode().split("\n")
    except (OSError, EOFError, ValueError) as error:
        raise DataError(f"{path}: {error}") from error


def read_rows(path: Path) -> list[Row]:
    """All rows of a file. Raises DataError."""
    rows = []
    for number, line in enumerate(read_lines(path), start=1):
        if not line.strip():
            continue
        try:
            item = json.loads(line)
            rows.append(_row(item))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise DataError(f"{path}:{number}: not a row: {error!r}") from error
    return rows


def _row(item: Mapping[str, Any]) -> Row:
    genre = item.get("genre") or ("over_refusal" if item.get("over_refusal") else "")
    return Row(
        item["id"],
        item["text"],
        item["label"],
        item["source"],
        item.get("lang", "en"),
        item.get("pair", ""),
        attack=str(item.get("attack") or ""),
        field=str(item.get("field") or ""),
        genre=genre,
    )


def read_all(paths: Iterable[Path]) -> list[Row]:
    """The rows of all files, in the order given. Raises DataError."""
    return [row for path in paths for row in read_rows(path)]
