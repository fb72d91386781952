"""What stage zero is shown: a share of every source of the training data, the authored texts, and ordinary prose and code.

Each text says whether it is held out. Authored texts are held out by pair, so that the two halves stay together; public rows
by row, since no label is learned here but what the encoder says of their words.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from classifiers.rows import Row, read_all
from classifiers.train.augment import carried
from classifiers.train.authored import FOLDER, HARMFUL, read_authored
from classifiers.train.labels import Example
from classifiers.train.ordinary import pieces
from classifiers.train.teacher import Lessons, Teacher, joined

INPUTS: Final = (
    "benign_general.jsonl.gz",
    "cbrn_adjacent_benign.jsonl.gz",
    "cbrn_harmful_en.jsonl",
    "harmful_multilingual.jsonl.gz",
    "other_harmful_en.jsonl.gz",
    "over_refusal.jsonl",
)
MOST_ROWS: Final = 1500  # of one source and label
HELD_SHARE: Final = 4
HARMLESS: Final = frozenset({"benign", "cbrn_adjacent_benign"})
CHILDREN: Final = 2
CARRIED_WORDS: Final = 21  # with a short request, about one window
CARRIED_SEED: Final = 20261124


@dataclass(frozen=True, slots=True)
class Text:
    """One text: its label, the source it counts under, and whether it is for measuring only."""

    text: str
    label: str
    source: str
    held: bool


@dataclass(frozen=True, slots=True)
class Course:
    """All texts with the lessons on them; ``lessons.owners`` are places in ``texts``."""

    texts: tuple[Text, ...]
    lessons: Lessons


def read_texts(data: Path, authored: Path = FOLDER) -> list[Text]:
    """Everything that is shown. Raises DataError."""
    rows = _share(read_all([data / name for name in INPUTS]))
    rows += [one.row for one in read_authored(authored)] if authored.is_dir() else []
    texts = [Text(row.text, row.label, row.source, held(row.group or row.id)) for row in rows]
    harmful = [row for row in rows if row.label == HARMFUL]
    harmless = _spread([row for row in rows if row.label in HARMLESS], len(harmful))
    texts += _carried([*harmful, *harmless])
    return texts + [Text(piece.text, piece.genre, piece.genre, piece.held) for piece in pieces()]


def _carried(rows: Sequence[Row]) -> list[Text]:
    """The rows again inside a carrier and among padding: stage zero must not lose what stands between harmless words, nor learn
    that those words mean anything."""
    made = carried([Example(row, "cbrn", child=True) for row in rows], CHILDREN, CARRIED_WORDS, CARRIED_SEED)
    parents = [row for row in rows for _ in range(CHILDREN)]
    return [
        Text(one.row.text, parent.label, "carried or padded", held(parent.group or parent.id))
        for one, parent in zip(made, parents, strict=True)
    ]


def held(name: str) -> bool:
    """Whether what goes by this name is for measuring only: a quarter, by digest."""
    return hashlib.sha256(f"held {name}".encode()).digest()[0] % HELD_SHARE == 0


def _share(rows: Sequence[Row]) -> list[Row]:
    """The first rows of every source and label by the digest of their ids."""
    groups: dict[tuple[str, str], list[Row]] = defaultdict(list)
    for row in rows:
        groups[row.source, row.label].append(row)
    return [row for group in groups.values() for row in _spread(group, MOST_ROWS)]


def _spread(rows: Sequence[Row], most: int) -> list[Row]:
    """At most so many rows, by the digest of their ids."""
    return sorted(rows, key=lambda one: hashlib.sha256(one.id.encode()).digest())[:most]


def teach(teacher: Teacher, texts: Sequence[Text]) -> Course:
    """The lessons on all texts, source by source, so that a new text does not undo the whole cache."""
    groups: dict[tuple[str, bool], list[Text]] = defaultdict(list)
    for text in texts:
        groups[text.source, text.held].append(text)
    parts = [teacher.lessons([text.text for text in group], name) for (name, _), group in groups.items()]
    sizes = np.cumsum([0, *(len(group) for group in groups.values())]).tolist()
    return Course(tuple(text for group in groups.values() for text in group), joined(parts, sizes[:-1]))
