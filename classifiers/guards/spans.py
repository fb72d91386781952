"""Cutting a text for a model whose tokenizer is elsewhere: overlapping spans of bounded UTF-8 bytes that cover every character.

A tokenizer rarely makes more tokens than bytes out of a text, so that a span's bytes bound what the other side has to take;
what it cannot take all the same it has to refuse, not to cut.
"""

from __future__ import annotations

from classifiers.base import OverBudget

MOST_BYTES_OF_A_CHARACTER = 4


def spans(text: str, size: int, stride: int, limit: int) -> tuple[tuple[int, int], ...]:
    """Character offsets [start, end) of spans of at most ``size`` bytes that begin at most ``stride`` bytes apart.

    ``stride`` is smaller than ``size``, and both hold a character at least (4 bytes).
    The text has no lone surrogates.
    Raises OverBudget as soon as there are more than ``limit``.
    """
    found: list[tuple[int, int]] = []
    start = end = 0
    while end < len(text):
        if len(found) == limit:
            raise OverBudget(limit + 1, limit)
        piece = text[start : start + size].encode()
        end = start + _characters(piece, size)
        found.append((start, end))
        start += _characters(piece, stride)
    return tuple(found)


def _characters(content: bytes, most: int) -> int:
    """How many whole characters the first ``most`` bytes hold."""
    return len(content[:most].decode("utf-8", "ignore"))
