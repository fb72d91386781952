"""Short ways to set up and drive a hold-back machine."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from gateway.exchange import (
    AnswerEvent,
    Channel,
    ChannelKey,
    Finish,
    FinishReason,
    Piece,
    TextDelta,
)
from gateway.screening import Screening
from gateway.terms import Hold
from gateway.verdict import Judgement, allow

CONTENT = ChannelKey(0, Channel.CONTENT)
REASONING = ChannelKey(0, Channel.REASONING)
CALL = ChannelKey(0, Channel.TOOL_CALL)
STOP = Finish(0, FinishReason.STOP)


def screen(*groups: str, hold: Hold = Hold.ADAPTIVE, cap: int = 1 << 20, opaque: bool = False) -> Screening:
    """A machine, by default with one group."""
    return Screening(groups or ("rules",), hold=hold, cap=cap, opaque=opaque)


def text(key: ChannelKey, value: str) -> TextDelta:
    """A text event."""
    return TextDelta(key, value)


def clear(screening: Screening, pieces: tuple[Piece, ...], *groups: str) -> None:
    """Every group clears everything that the pieces show."""
    for group in groups or ("rules",):
        for piece in pieces:
            screening.report(group, Judgement(piece.key, piece.start + len(piece.text), allow(group)))


def pass_through(screening: Screening, *events: AnswerEvent) -> tuple[AnswerEvent, ...]:
    """Feed, clear, release."""
    clear(screening, screening.feed(events))
    return screening.release()


def calls_made(work: Callable[[], None]) -> int:
    """Function calls, of Python and of C, that some work takes."""
    count = 0

    def profile(_frame: Any, event: str, _arg: Any) -> None:
        nonlocal count
        count += event in {"call", "c_call"}

    before = sys.getprofile()
    sys.setprofile(profile)
    try:
        work()
    finally:
        sys.setprofile(before)
    return count


def buffered(screening: Screening) -> int:
    """Characters in all buffers."""
    parts = screening._roster.parts.values()
    tails = [tail for choice in screening._choices.values() for tail in choice._tails.values()]
    return sum(len("".join((*part.waiting, *part.ready))) for part in parts) + sum(
        len("".join(tail._parts)) for tail in tails
    )
