"""The hold-back machine itself: what comes in, what goes out, and what ends it. The rules stand in the package's docstring."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from enum import StrEnum
from typing import assert_never

from gateway.errors import UpstreamMalformed
from gateway.exchange import AnswerEnd, AnswerEvent, Finish, OpaqueBlock, Piece, TextDelta, ToolCallStart, Usage
from gateway.screening.calls import utf8_length
from gateway.screening.choice import Choice, Roster, Single
from gateway.screening.parts import Part
from gateway.terms import Hold
from gateway.verdict import Judgement, Outcome, Reason, Verdict, failed

EVENT_WEIGHT = 64  # what an event other than text counts against the cap, about its share of memory


class Nonsense(ValueError):
    """A judge reported what cannot be: an unknown channel or group, a frontier that shrank or lies beyond the text."""


class State(StrEnum):
    """Where an answer stands. FLAGGED and ENDED are for good."""

    OPEN = "open"
    FLAGGED = "flagged"
    ENDED = "ended"


class Screening:
    """Holds one answer back until every group has cleared it.

    ``groups`` are the required judges (ValueError when there are none); ``cap`` bounds the characters of the answer, seen and
    held, beyond which ``feed`` raises UpstreamMalformed; ``opaque`` says whether opaque blocks, which nobody can judge, may leave.
    """

    def __init__(self, groups: Sequence[str], *, hold: Hold, cap: int, opaque: bool = False) -> None:
        if not groups:
            raise ValueError("no group judges this answer: an empty list of checks is an error")
        self._hold = hold
        self._cap = cap
        self._opaque = opaque
        self._state = State.OPEN
        self._verdict: Verdict | None = None
        self._roster = Roster(tuple(groups))
        self._choices: dict[int, Choice] = {}
        self._tail: deque[Single] = deque()  # Usage and AnswerEnd, which wait for all choices
        self._ending = False  # AnswerEnd was seen
        self._seen = self._scanned = self._released = 0

    @property
    def state(self) -> State:
        """OPEN, FLAGGED or ENDED."""
        return self._state

    @property
    def ended(self) -> bool:
        """AnswerEnd has been released."""
        return self._state is State.ENDED

    @property
    def verdict(self) -> Verdict | None:
        """The first verdict that flagged or cut; set whenever the state is FLAGGED."""
        return self._verdict

    @property
    def held(self) -> int:
        """Characters that wait; in state FLAGGED those that were withheld."""
        return self._roster.held

    @property
    def scanned(self) -> int:
        """UTF-8 bytes of answer text under the least frontier: what all groups have cleared.

        Counted where frontiers move, apart from ``released_bytes``, in the same units: a text as the upstream sent it, a tool
        call as its name and our serialisation of its arguments, opaque blocks not at all. Never less than ``released_bytes``;
        more while cleared text waits its turn or a cut came between; equal once the answer has ended.
        """
        return self._scanned

    @property
    def released_bytes(self) -> int:
        """UTF-8 bytes of the text in the events that ``release`` has returned: texts, names and arguments of tool calls."""
        return self._released

    def tighten(self, hold: Hold) -> None:
        """Terms joined in mid-stream: the hold only ever gets stricter. (A new group cannot join: the caller cuts.)"""
        self._hold = max(self._hold, hold)

    def feed(self, events: Sequence[AnswerEvent]) -> tuple[Piece, ...]:
        """Take upstream events in order; returns the new text for the judges, one piece per part.

        Raises UpstreamMalformed (answer over limit, events out of order, a tool call that is no JSON object); nothing leaves
        afterwards. Once FLAGGED, events are ignored.
        """
        if self._state is State.FLAGGED:
            return ()
        try:
            for event in events:
                self._take(event)
        except Exception:  # whatever went wrong here, the rest of the answer was not understood
            self._stop(failed("screening", Reason.UNREADABLE, "answer"))
            raise
        return self._roster.pieces()

    def report(self, group: str, judgement: Judgement) -> None:
        """A judge's frontier, or its flag (any verdict but allow). Ignored once the answer is FLAGGED or ENDED.

        Every group must answer every piece, also an empty final one: what follows a final part waits for it. A shadow verdict
        flags nothing; its frontier counts like any other. Raises Nonsense, and flags, where the report cannot be.
        """
        if self._state is not State.OPEN:
            return
        verdict = judgement.verdict
        if verdict.outcome is not Outcome.ALLOW and not verdict.shadow:
            self._stop(verdict)
            return
        part = self._roster.parts.get(judgement.key)
        before = None if part is None else part.frontiers.get(group)
        if part is None or before is None or type(judgement.cleared) is not int:
            self._nonsense(verdict.control, "unknown group, channel or frontier")
        elif not before <= judgement.cleared <= part.seen:
            self._nonsense(verdict.control, "frontier shrank or lies beyond the text")
        else:
            part.frontiers[group] = judgement.cleared
            part.unheard.discard(group)
            self._advance(part)

    def cut(self, verdict: Verdict) -> None:
        """End the answer for any other reason: a halt, a failure, a disconnect. The first reason stays."""
        self._stop(verdict)

    def release(self) -> tuple[AnswerEvent, ...]:
        """The events cleared since the last call, in order; neighbouring text of a channel is joined."""
        if self._state is not State.OPEN or (self._hold is Hold.WHOLE and not self._complete()):
            return ()
        out: list[AnswerEvent] = []
        while self._tail and self._drain(self._tail[0].epoch, out):
            out.append(self._tail.popleft().event)
        self._drain(self._roster.epoch, out)
        for event in out:
            if isinstance(event, TextDelta):
                self._released += utf8_length(event.text)
            elif isinstance(event, ToolCallStart):
                self._released += utf8_length(event.name)
            elif isinstance(event, AnswerEnd):
                self._state = State.ENDED
        return tuple(out)

    def _complete(self) -> bool:
        return self._ending and not self._roster.unsettled

    def _drain(self, epoch: int, out: list[AnswerEvent]) -> bool:
        empty = True
        for choice in self._choices.values():
            empty &= choice.drain(epoch, out)
        return empty

    def _advance(self, part: Part) -> None:
        least = self._least(part)
        if least > part.cleared:
            self._scanned += part.advance(least)
        if part.settle():
            self._roster.unsettled -= 1

    def _least(self, part: Part) -> int:
        return min(part.frontiers.values())

    def _nonsense(self, control: str, what: str) -> None:
        self._stop(failed(control, Reason.CONTROL_NONSENSE, what))
        raise Nonsense(what)

    def _stop(self, verdict: Verdict) -> None:
        if self._state is not State.OPEN:
            return
        self._state = State.FLAGGED
        self._verdict = verdict
        self._roster.clear()
        self._choices.clear()
        self._tail.clear()

    def _take(self, event: AnswerEvent) -> None:
        if self._ending:
            raise UpstreamMalformed("the model server sent something after the end of its answer")
        if isinstance(event, TextDelta):
            if event.text:
                self._count(len(event.text))
                self._choice(event.key.choice).text(event)
        elif isinstance(event, ToolCallStart):
            self._count(EVENT_WEIGHT + len(event.name) + len(event.call_id))
            self._choice(event.key.choice).call(event)
        elif isinstance(event, OpaqueBlock):
            self._count(EVENT_WEIGHT + len(event.data))
            if self._opaque:
                self._choice(event.key.choice).block(event)
        elif isinstance(event, Finish):
            self._count(EVENT_WEIGHT)
            self._choice(event.choice).finish(event)
        elif isinstance(event, Usage):
            self._count(EVENT_WEIGHT)
            self._tail.append(Single(event, self._roster.epoch))
            self._roster.epoch += 1
        elif isinstance(event, AnswerEnd):
            self._end(event)
        else:
            assert_never(event)

    def _end(self, event: AnswerEnd) -> None:
        self._ending = True
        for choice in self._choices.values():
            if not choice.done:
                choice.finish(None)
        self._tail.append(Single(event, self._roster.epoch))

    def _count(self, characters: int) -> None:
        self._seen += characters
        if self._seen > self._cap:
            raise UpstreamMalformed("answer over limit")

    def _choice(self, number: int) -> Choice:
        choice = self._choices.get(number)
        if choice is None:
            choice = self._choices[number] = Choice(self._roster)
        elif choice.done:
            raise UpstreamMalformed("the model server went on with a choice that it had finished")
        return choice
