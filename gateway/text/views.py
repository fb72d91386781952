"""Views: the readings of a text, and of all texts of a request together, that a judge has to look at.

The original is always the first view of a text. Decoded views are lossless: whoever reads them reads what was written. Joined views
(parts of a message, turns) are not: where one text ends and the next begins is gone.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

from gateway.exchange import Leaf, Origin
from gateway.text.decode import decode
from gateway.text.normal import compatible

DEPTH = 2  # rounds of decoding
EXPANSION = 4  # a view longer than this many times its source is not made; only rare ligatures grow so far


@dataclass(frozen=True, slots=True)
class View:
    """One reading of a text. ``name`` tells how it came about, such as ``original`` or ``base64>hex``."""

    name: str
    text: str
    lossless: bool


@dataclass(frozen=True, slots=True)
class Reading:
    """A view of one leaf, or of several joined; ``path`` is the leaf to name (of joined ones, the last)."""

    path: str
    view: View


def views(text: str) -> tuple[View, ...]:
    """The original and its decoded views, at most ``1 + DEPTH``. All are lossless."""
    found = [View("original", text, lossless=True)]
    found.extend(View(name, decoded, lossless=True) for name, decoded in _decoded(text))
    return tuple(found)


def exchange_views(leaves: Sequence[Leaf]) -> Iterator[Reading]:
    """Every view of every leaf, then the joined ones: parts of each message, all turns, and the user's turns alone."""
    for leaf in leaves:
        for view in views(leaf.text):
            yield Reading(leaf.path, view)
    yield from joined_views(leaves)


def joined_views(leaves: Sequence[Leaf]) -> Iterator[Reading]:
    """Views of texts joined without a separator: words may be split over parts and over turns. None for a single leaf."""
    messages = [tuple(group) for _, group in groupby(leaves, key=_message)]
    for parts in messages:
        if len(parts) > 1 and len(messages) > 1:
            yield from _joined("parts", parts)
    if len(leaves) > 1:
        yield from _joined("turns", leaves)
    users = [leaf for leaf in leaves if leaf.origin is Origin.USER]
    if 1 < len(users) < len(leaves):
        yield from _joined("user turns", users)


def _joined(name: str, leaves: Sequence[Leaf]) -> Iterator[Reading]:
    text = "".join(leaf.text for leaf in leaves)
    yield Reading(leaves[-1].path, View(name, text, lossless=False))
    for decoding, decoded in _decoded(text):
        yield Reading(leaves[-1].path, View(f"{name}>{decoding}", decoded, lossless=False))


def _decoded(text: str) -> Iterator[tuple[str, str]]:
    source, names = text, []
    for _ in range(DEPTH):
        step = decode(source) or (None if source.isascii() else decode(compatible(source)))
        if step is None or len(step[0]) > EXPANSION * len(text):
            return
        source = step[0]
        names.append(step[1])
        yield ">".join(names), source


def _message(leaf: Leaf) -> str:
    return leaf.path.partition(".")[0]
