"""Reads the texts that people wrote for training: pairs of a harmful request and its twin, and single rows.

A file is plain text, one row or pair a line, fields separated by `` ||| ``, after a head of ``# name: value`` lines:
``author`` (rows of one author are never split between training and testing), ``kind`` (``pairs`` or ``singles``), ``lang``, and
for singles ``label`` and ``genre``.

    pairs:    topic ||| ask ||| harmful text ||| ask of the twin ||| text of the twin
    singles:  topic ||| ask ||| text

``lint`` refuses working detail in harmful rows. It is a net under the authors, not a licence: it sees forms (quantities,
conditions, formulas, sequences), and people see the rest.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from classifiers.constitution.reader import Constitution, load
from classifiers.rows import DataError, Row

FOLDER: Final = Path(__file__).parent / "authored"
SEPARATOR: Final = " ||| "
HARMFUL: Final = "cbrn_harmful"
TWIN: Final = "cbrn_adjacent_benign"
LABELS: Final = frozenset({HARMFUL, TWIN, "other_harmful", "benign", "dual_use"})

_UNITS = (
    r"(?:mg|g|kg|grams?|kilos?|kilograms?|ml|l|lit(?:er|re)s?|gallons?|mol|moles?|ppm|percent|%|°|degrees?|celsius|fahrenheit|bar|psi|"
    r"hours?|minutes?|seconds?|becquerels?|bq|curies?|ci|sieverts?|sv|rem|gray|gy|microns?|µm|um|nm|mesh|rpm|molar)"
)
DETAIL: Final = {
    "a quantity or condition": re.compile(rf"\d[\d.,]*\s?{_UNITS}(?![a-z])", re.IGNORECASE),
    "a registry number": re.compile(r"\b\d{2,7}-\d{2}-\d\b"),
    "a chemical formula": re.compile(r"\b(?:[A-Z][a-z]?\d*){2,}\d(?:[A-Z][a-z]?\d*)*\b"),
    "a sequence": re.compile(r"\b[ACGTU]{8,}\b|\b(?:Met|Ala|Gly|Ser|Leu|Lys|Val)(?:-[A-Z][a-z]{2}){3,}"),
    "numbered steps": re.compile(r"\bstep\s+\d|(?:^|\s)1[.)]\s.+\s2[.)]\s", re.IGNORECASE),
    "an address": re.compile(r"https?://|www\.|\.onion\b|\S+@\S+\.\w", re.IGNORECASE),
}


@dataclass(frozen=True, slots=True)
class Authored:
    """One text with what its author says of it. ``pair`` ties a harmful row and its twin; ``genre`` says what kind of single it is."""

    row: Row
    author: str
    topic: str
    ask: str
    genre: str
    pair: str


def read_authored(folder: Path = FOLDER, constitution: Constitution | None = None) -> list[Authored]:
    """All authored texts, file by file. Raises DataError naming file and line, also for working detail in a harmful row."""
    known = constitution or load()
    rows = [row for path in sorted(folder.glob("*.txt")) for row in read_file(path, known)]
    seen: dict[str, str] = {}
    for one in rows:
        key = " ".join(one.row.text.casefold().split())
        if key in seen:
            raise DataError(f"{one.row.id} says the same as {seen[key]}")
        seen[key] = one.row.id
    return rows


def read_file(path: Path, constitution: Constitution) -> list[Authored]:
    """The texts of one file. Raises DataError."""
    try:
        lines = path.read_text().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: {error}") from error
    head = _head(path, lines)
    rows: list[Authored] = []
    for number, line in enumerate(lines, start=1):
        if not line.strip() or line.startswith("#"):
            continue
        try:
            rows += _line(line, head, constitution)
        except ValueError as error:
            raise DataError(f"{path}:{number}: {error}") from error
    return rows


def _head(path: Path, lines: Sequence[str]) -> dict[str, str]:
    head = dict(re.findall(r"^# (author|kind|lang|label|genre): (\S+)$", "\n".join(lines[:12]), re.MULTILINE))
    if not head.get("author") or head.get("kind") not in {"pairs", "singles"}:
        raise DataError(f"{path}: the head names no author, or no kind of pairs or singles")
    if head["kind"] == "singles" and head.get("label") not in LABELS:
        raise DataError(f"{path}: the head of singles names no label of {sorted(LABELS)}")
    return head


def _line(line: str, head: dict[str, str], constitution: Constitution) -> Iterator[Authored]:
    parts = [part.strip() for part in line.split(SEPARATOR)]
    if len(parts) != (5 if head["kind"] == "pairs" else 3) or not all(parts):
        raise ValueError(f"{len(parts)} fields")
    if head["kind"] == "singles":
        yield _authored(parts[0], parts[1], parts[2], head["label"], head, constitution, "")
        return
    topic, ask, harmful, twin_ask, twin = parts
    pair = _identity(harmful + twin)
    if ask not in constitution.harmful_asks or twin_ask in constitution.harmful_asks:
        raise ValueError(f"a pair of the asks {ask} and {twin_ask}")
    yield _authored(topic, ask, harmful, HARMFUL, head, constitution, pair)
    yield _authored(topic, twin_ask, twin, TWIN, head, constitution, pair)


def _authored(
    topic: str, ask: str, text: str, label: str, head: dict[str, str], constitution: Constitution, pair: str
) -> Authored:
    topics = {one.id for one in constitution.topics} | {"none"}
    if topic not in topics or ask not in {*constitution.asks, "none"}:
        raise ValueError(f"the constitution knows no {topic}, {ask}")
    if label == HARMFUL and (found := lint(text)):
        raise ValueError(f"a harmful row holds {found}")
    author, lang = head["author"], head.get("lang", "en")
    ident = f"authored-{author}-{_identity(text)}"
    row = Row(ident, text, label, f"authored/{author}", lang, pair or ident)
    return Authored(row, author, topic, ask, head.get("genre", "pair"), pair)


def _identity(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def lint(text: str) -> str:
    """The kind of working detail that a text seems to hold; empty for none."""
    return next((kind for kind, pattern in DETAIL.items() if pattern.search(text)), "")
