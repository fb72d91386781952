"""The chain over one answer: text in, a judgement per group and channel out.

It keeps the whole text of the answer (the pipeline's answer cap bounds it), so that a judge that opens late judges all of
it: a substitute that takes over, or every inline judge after new terms. A group's frontier never passes what a healthy
member of the group has cleared, and never moves back.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Final

from gateway.controls.base import Context
from gateway.controls.roster import Roster, together
from gateway.controls.rulings import AnswerRuling, answer_ruling
from gateway.controls.seat import Seat, Step
from gateway.exchange import ChannelKey, Direction, Exchange, Piece
from gateway.terms import Group, Terms

__all__ = ["AnswerChain", "AnswerRuling"]

CHUNK: Final = 256  # characters up to which short additions are joined


class Transcript:
    """All text of an answer so far, by channel."""

    def __init__(self) -> None:
        self.ends: dict[ChannelKey, int] = {}
        self._texts: dict[ChannelKey, list[str]] = {}
        self._final: set[ChannelKey] = set()

    def add(self, pieces: tuple[Piece, ...]) -> dict[ChannelKey, int]:
        """Append; returns the new length of each channel named. Raises ValueError for a gap: the caller lost text."""
        ends: dict[ChannelKey, int] = {}
        for piece in pieces:
            key = piece.key
            end = self.ends.get(key, 0)
            if piece.start != end:
                raise ValueError(f"a piece starts at {piece.start}, not at {end}")
            self._append(key, piece.text)
            self.ends[key] = ends[key] = end + len(piece.text)
            if piece.final:
                self._final.add(key)
        return ends

    def _append(self, key: ChannelKey, text: str) -> None:
        parts = self._texts.setdefault(key, [""])
        # Short additions are joined: a list of one-token strings would take many times the memory of the text.
        if len(parts[-1]) < CHUNK:
            parts[-1] += text
        else:
            parts.append(text)

    def whole(self) -> tuple[Piece, ...]:
        """Everything so far, as one piece per channel."""
        for key, parts in self._texts.items():
            self._texts[key] = ["".join(parts)]
        return tuple(Piece(key, 0, parts[0], key in self._final) for key, parts in self._texts.items())

    def ending(self) -> tuple[Piece, ...]:
        """An empty piece at the end of every channel."""
        return tuple(Piece(key, end, "", key in self._final) for key, end in self.ends.items())


class AnswerChain:
    """Judges one answer. Steps must not overlap."""

    def __init__(
        self, roster: Roster, exchange: Exchange, context: Context, transcript: Transcript | None = None
    ) -> None:
        self._roster = roster
        self._exchange = exchange
        self._context = context
        self._transcript = transcript or Transcript()
        inline, slow = roster.groups(context.terms, Direction.OUTPUT)
        names = _distinct([*inline, *slow])
        self.groups: tuple[str, ...] = tuple(names)
        seats = [
            Seat(name, group, roster, exchange, context) for name, group in zip(names, [*inline, *slow], strict=True)
        ]
        self._inline, self._slow = seats[: len(inline)], seats[len(inline) :]

    async def step(self, pieces: tuple[Piece, ...]) -> AnswerRuling:
        """Judge new text, which joins what came before without a gap. Never raises for a control's fault.

        ``judgements`` names every group, with one judgement per channel in ``pieces``; more where a late judge spoke about
        all channels. Where a verdict is not allow, the frontier stays where it was.
        """
        ends = self._transcript.add(pieces)
        step = Step(pieces, ends, self._transcript)
        tallies = []
        for seat in self._inline:
            tallies.append(await seat.step(step))  # noqa: PERF401  a comprehension that awaits is a coroutine of its own
        if self._slow:
            tallies += await together([partial(seat.step, step) for seat in self._slow])
        return answer_ruling(tallies)

    def reopen(self, terms: Terms) -> tuple[AnswerChain, tuple[Piece, ...]]:
        """The same answer under newer terms: the chain to use from now on, and the pieces of its first step.

        The pieces hold no new text; stepping them makes every judge that opens anew judge the whole answer so far. Those are
        the inline ones (an added rule applies at once), and others where something that they were opened under has changed.
        Unchanged groups keep their frontiers; a group that was not there before starts at zero.
        """
        context = replace(self._context, terms=terms)
        chain = AnswerChain(self._roster, self._exchange, context, self._transcript)
        before = {seat.group: seat for seat in [*self._inline, *self._slow]}
        for seat in [*chain._inline, *chain._slow]:
            if seat.group in before:
                seat.follow(before[seat.group], inline=seat in chain._inline)
        return chain, self._transcript.ending()


def _distinct(groups: list[Group]) -> list[str]:
    """The groups' names, made distinct: joined terms may hold two versions of a group, and both must be satisfied."""
    names: list[str] = []
    for group in groups:
        version = sum(name.partition("~")[0] == group.name for name in names)
        names.append(f"{group.name}~{version + 1}" if version else group.name)
    return names
