"""Ordinary prose and code in quantity: what is installed beside this project. Unlabelled, never committed, read for its words only.

Prose: the descriptions of installed packages and the common licences of the system. Code: the standard library.
A stage that clears most windows must have seen how long documents are worded; the labelled sets are short requests.
"""

from __future__ import annotations

import hashlib
import sysconfig
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import distributions
from pathlib import Path
from typing import Final

LICENCES: Final = Path("/usr/share/common-licenses")
PIECE_CHARS: Final = 4000
MOST_PIECES: Final = 250


@dataclass(frozen=True, slots=True)
class Piece:
    """A stretch of a document. ``genre`` is ``prose`` or ``code``; ``held`` says that it is for measuring only."""

    genre: str
    document: str
    text: str
    held: bool


def pieces(most: int = MOST_PIECES) -> list[Piece]:
    """At most so many pieces of each genre, one a document, chosen by the digest of their names; a fifth is held out by document."""
    chosen = []
    for genre, documents in (("code", _code()), ("prose", _prose())):
        ordered = sorted(documents, key=lambda pair: _number(pair[0]))[:most]
        for name, text in ordered:
            chosen.append(Piece(genre, name, text[:PIECE_CHARS], _number("held " + name) % 5 == 0))
    return chosen


def _number(name: str) -> int:
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:4], "big")


def _code() -> Iterator[tuple[str, str]]:
    root = Path(sysconfig.get_paths()["stdlib"])
    for path in root.rglob("*.py"):
        if "site-packages" not in path.parts and "test" not in path.parts and path.stat().st_size > 500:
            yield str(path.relative_to(root)), path.read_text(errors="replace")


def _prose() -> Iterator[tuple[str, str]]:
    for distribution in distributions():
        # After the first empty line comes the description.
        text = (distribution.read_text("METADATA") or "").partition("\n\n")[2]
        if len(text) > 500:
            yield f"description {distribution.metadata['Name']}", text
    for path in LICENCES.glob("*"):
        text = path.read_text(errors="replace")
        for start in range(0, len(text), PIECE_CHARS):
            yield f"licence {path.name} {start}", text[start : start + PIECE_CHARS]
