"""Which texts of a request a classifier has to score so that every reading of it is covered, and nothing twice.

Every leaf, its decoded views, and leaves read together: the parts of each message, the user's turns, and all turns. A
classifier looks at windows, so that of a joined reading only what lies around the seams is new, and of a decoded view only
what differs from its source; the rest has been scored with the leaf. That keeps a long chat at about its own length.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import Final

from gateway.exchange import Exchange, Leaf, Origin
from gateway.text.views import views

SEAM: Final = 320  # characters on each side of a seam, more than a classifier's window holds
APART: Final = "\n"  # turns are read as paragraphs; parts of one message without a break


def readings(exchange: Exchange) -> Mapping[str, str]:
    """Distinct texts to score, each with the path of the leaf to name (of joined ones, the last). Blank texts are left out."""
    found: dict[str, str] = {}
    for path, text in _all(exchange.leaves):
        if text.strip():
            found.setdefault(text, path)
    return found


def _all(leaves: Sequence[Leaf]) -> Iterator[tuple[str, str]]:
    for leaf in leaves:
        yield leaf.path, leaf.text
        yield from _decoded(leaf.path, leaf.text)
    messages = [tuple(group) for _, group in groupby(leaves, key=_message)]
    for parts in messages:
        yield from _together(parts, "")
    yield from _together([leaf for leaf in leaves if leaf.origin is Origin.USER], APART)
    yield from _together(leaves, APART)


def _decoded(path: str, text: str) -> Iterator[tuple[str, str]]:
    for view in views(text)[1:]:
        yield path, differing(view.text, text)


def _together(leaves: Sequence[Leaf], separator: str) -> Iterator[tuple[str, str]]:
    """The seams between leaves, and the decoded views of all of them joined, for what is encoded across a seam."""
    if len(leaves) < 2:
        return
    path = leaves[-1].path
    for seam in seams([leaf.text for leaf in leaves], separator):
        yield path, seam
    # Without a separator: a run of code is broken by one.
    yield from _decoded(path, "".join(leaf.text for leaf in leaves))


def seams(texts: Sequence[str], separator: str) -> Iterator[str]:
    """The texts joined, with the middle of every long one cut out: every stretch of ``SEAM`` characters across a seam."""
    run, joined = "", 0
    for text in texts:
        if len(text) > 2 * SEAM:
            if joined:
                yield run + separator + text[:SEAM]
            run, joined = text[-SEAM:], 1
        else:
            run = run + separator + text if joined else text
            joined += 1
    if joined > 1:
        yield run


def differing(text: str, source: str) -> str:
    """What of ``text`` is not in ``source`` too, from the first difference to the last, with ``SEAM`` characters around it."""
    if text == source:
        return ""
    head = _common(text, source)
    most = min(len(text), len(source)) - head
    tail = _common(text[::-1], source[::-1], most)
    return text[max(0, head - SEAM) : len(text) - tail + SEAM]


def _common(one: str, other: str, most: int | None = None) -> int:
    """How many characters two texts have in common at their beginning: by halving, since comparing slices is fast."""
    low, high = 0, min(len(one), len(other)) if most is None else most
    while low < high:
        middle = (low + high + 1) // 2
        if one[low:middle] == other[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low


def _message(leaf: Leaf) -> str:
    return leaf.path.partition(".")[0]
