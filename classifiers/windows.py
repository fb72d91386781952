"""Cutting a text for a model: bounded pieces for the tokenizer, overlapping windows of its tokens. Pure, no model.

Every character belongs to a window, also those that the tokenizer drops: the first window starts at 0, the last ends at
the length of the text, and a window ends where the token after it starts.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

SEGMENT_CHARS: Final = 4096
# A word-piece tokenizer gives up on words over 100 characters and answers "unknown" for the whole word, which would hide
# any text written without spaces. Normalising can triple a character (Hangul), so longer runs are cut at a third of that.
RUN_CHARS: Final = 32
_LONG_RUN: Final = re.compile(rf"[^ \t\n\r!-/:-@\[-`{{-~]{{{RUN_CHARS}}}")
_SURROGATES: Final = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class Span:
    """One window before it is scored: characters [start, end) of the text and the token ids, special tokens left out.

    ``scores``: where an early stage has settled it already.
    """

    start: int
    end: int
    ids: tuple[int, ...]
    scores: tuple[float, ...] | None = None


@dataclass(frozen=True, slots=True)
class Planned:
    """One text cut into windows; ``tokens`` counts its tokens without special ones."""

    spans: tuple[Span, ...]
    tokens: int


def encodable(text: str) -> str:
    """The text with lone surrogates replaced, at the same length, so that offsets hold."""
    return _SURROGATES.sub("\ufffd", text)


def segments(text: str) -> Iterator[list[tuple[int, str]]]:
    """Consecutive pieces with their offsets, grouped so that each group has at most ``SEGMENT_CHARS`` characters.

    Groups end after whitespace where there is some; the pieces of all groups joined are the text.
    """
    start = 0
    while start < len(text):
        end = min(start + SEGMENT_CHARS, len(text))
        if end < len(text):
            space = max(text.rfind(" ", start, end), text.rfind("\n", start, end))
            end = space + 1 if space > start else end
        yield _cut_runs(text[start:end], start)
        start = end


def _cut_runs(segment: str, offset: int) -> list[tuple[int, str]]:
    cuts = [0, *(match.end() for match in _LONG_RUN.finditer(segment))]
    if cuts[-1] < len(segment):
        cuts.append(len(segment))
    return [(offset + start, segment[start:end]) for start, end in itertools.pairwise(cuts)]


def count_windows(tokens: int, size: int, stride: int) -> int:
    """How many windows of ``size`` tokens, ``stride`` apart, cover ``tokens`` tokens of a text that is not empty."""
    return 1 if tokens <= size else 1 + -((size - tokens) // stride)


def cut_windows(length: int, ids: Sequence[int], starts: Sequence[int], size: int, stride: int) -> tuple[Span, ...]:
    """The windows of a text of ``length`` characters whose token ``i`` starts at character ``starts[i]``."""
    if length == 0:
        return ()
    spans = []
    for index in range(count_windows(len(ids), size, stride)):
        first, after = index * stride, index * stride + size
        start = 0 if index == 0 else starts[first]
        end = starts[after] if after < len(ids) else length
        spans.append(Span(start, end, tuple(ids[first:after])))
    return tuple(spans)
