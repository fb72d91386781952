"""One group's place in an answer chain: who judges now, who watches in shadow, and how far each channel is cleared."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from functools import partial
from typing import Final, Protocol

from msgspec import Struct
from msgspec.structs import replace

from gateway.controls.base import AnswerJudge, Context
from gateway.controls.faults import ControlFault, word
from gateway.controls.roster import Roster, split
from gateway.controls.rulings import Tally
from gateway.exchange import ChannelKey, Direction, Exchange, Piece
from gateway.terms import Group
from gateway.verdict import Judgement, Outcome, Reason, Verdict, allow, worst

DEADLINE_CHARS: Final = 16 * 1024  # a step may take the group's deadline once for each of these begun


class Text(Protocol):
    """What a seat needs of the transcript: the length of every channel, and all text as pieces."""

    @property
    def ends(self) -> Mapping[ChannelKey, int]: ...

    def whole(self) -> tuple[Piece, ...]: ...


class Step(Struct, frozen=True):
    """New text: the pieces, the new length of each channel that they name, and all text with them included."""

    pieces: tuple[Piece, ...]
    ends: Mapping[ChannelKey, int]
    text: Text


class Stand:
    """One member's judge of this answer; opened with the first step, and then fed all text there is."""

    def __init__(self, member: str) -> None:
        self.member = member
        self.inline = False
        self.judge: AnswerJudge | None = None
        self._cleared: dict[ChannelKey, int] = {}
        self._said: Verdict | None = None  # the last verdict that was looked at; it cannot have changed since

    async def step(self, pieces: tuple[Piece, ...], ends: Mapping[ChannelKey, int]) -> tuple[Judgement, ...]:
        """The judge's judgements, checked. Raises what the judge raises, and ControlFault for nonsense."""
        assert self.judge is not None
        judgements = await self.judge.step(pieces)
        if type(judgements) is not tuple or len(judgements) != len(ends):
            raise ControlFault(Reason.CONTROL_NONSENSE, f"{self.member} did not give one judgement per channel")
        for judgement in judgements:
            self._check(judgement, ends)
        if len(judgements) > 1 and len({judgement.key for judgement in judgements}) != len(ends):
            raise ControlFault(Reason.CONTROL_NONSENSE, f"{self.member} judged a channel twice")
        return judgements

    def _check(self, judgement: Judgement, ends: Mapping[ChannelKey, int]) -> None:
        """One judgement: on a channel asked about, never beyond its text, never back. Raises ControlFault."""
        # ``type(...) is`` as in ``faults.word``: nothing that a control defines may take part in the comparison.
        if type(judgement) is not Judgement or type(judgement.key) is not ChannelKey:
            raise ControlFault(Reason.CONTROL_NONSENSE, f"{self.member} did not give a judgement")
        key, cleared = judgement.key, judgement.cleared
        end = ends.get(key)
        if end is None or type(cleared) is not int or not self._cleared.get(key, 0) <= cleared <= end:
            raise ControlFault(Reason.CONTROL_NONSENSE, f"{self.member} cleared what it cannot have judged")
        if judgement.verdict is not self._said:
            self._said = word(judgement.verdict, self.member)
        self._cleared[key] = cleared


class Seat:
    """One group in one answer."""

    def __init__(self, name: str, group: Group, roster: Roster, exchange: Exchange, context: Context) -> None:
        self.name = name
        self.group = group
        self._roster = roster
        self._exchange = exchange
        self._context = context
        self._deciders, shadows = split(group, context.terms)
        self._watchers = [Stand(member) for member in shadows]
        self._position = 0
        self._stand: Stand | None = None
        self._frontier: dict[ChannelKey, int] = {}
        # What the judges are opened under besides the group itself.
        self._thresholds = {member: context.terms.threshold(member, -1) for member in group.members}

    def follow(self, before: Seat, *, inline: bool) -> None:
        """Take over from the same group's seat under older terms: its frontiers, and its judges where they still hold."""
        self._frontier = before._frontier
        if inline or (before._deciders, before._thresholds) != (self._deciders, self._thresholds):
            return
        self._stand, self._position, self._watchers = before._stand, before._position, before._watchers

    async def step(self, step: Step) -> Tally:
        """Judge new text: shadows for the record, then the first member that can. Never raises for a control's fault."""
        tally = Tally(self.name)
        if self._watchers:
            await self._watch(tally, step)
        if not self._deciders:
            tally.verdict = allow(self.group.members[0])
            tally.judgements = self._all_of(step.ends, tally.verdict)
            return tally
        while self._position < len(self._deciders):
            stand = self._stand or Stand(self._deciders[self._position])
            judgements = await self._hear(tally, stand, step)
            if judgements is not None:
                self._stand = stand
                tally.judgements = self._advance(judgements)
                tally.decide(_summed(stand.member, judgements), self._position)
                return tally
            # What state a judge is in after a failure nobody knows: it does not come back in this answer.
            self._stand = None
            self._position += 1
        self._give_up(tally, step)
        return tally

    async def _watch(self, tally: Tally, step: Step) -> None:
        for stand in list(self._watchers):
            judgements = await self._hear(tally, stand, step)
            if judgements is None:
                self._watchers.remove(stand)
            else:
                tally.verdicts.append(replace(_summed(stand.member, judgements), shadow=True))

    async def _hear(self, tally: Tally, stand: Stand, step: Step) -> tuple[Judgement, ...] | None:
        """One member's judgements on this step, or on all text when it opens now. None: it failed, which is in ``tally``."""
        if stand.judge is not None:
            if stand.inline:
                return await self._again(tally, stand, step)
            again = partial(stand.step, step.pieces, step.ends)
            return await self._roster.attempt(tally, stand.member, again, self._seconds(step.pieces))
        if not self._roster.admits(stand.member):
            self._roster.note(tally, stand.member, Reason.CONTROL_UNAVAILABLE)
            return None
        pieces = step.text.whole()
        opened = partial(self._open, stand, pieces, step.text.ends)
        return await self._roster.attempt(tally, stand.member, opened, self._seconds(pieces))

    async def _again(self, tally: Tally, stand: Stand, step: Step) -> tuple[Judgement, ...] | None:
        """An inline judge's next step, in place: what ``Roster.attempt`` does, without a call for each layer."""
        started = self._roster.now()
        try:
            judgements = await stand.step(step.pieces, step.ends)
        except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001  as in ``attempt``
            self._roster.lost(tally, stand.member, started, error)
            return None
        self._roster.heard(tally, stand.member, started)
        return judgements

    async def _open(
        self, stand: Stand, pieces: tuple[Piece, ...], ends: Mapping[ChannelKey, int]
    ) -> tuple[Judgement, ...]:
        control = self._roster.find(stand.member, Direction.OUTPUT)
        stand.judge = control.open_answer(self._exchange, self._context)
        stand.inline = control.inline
        return await stand.step(pieces, ends)

    def _seconds(self, pieces: tuple[Piece, ...]) -> float:
        """The deadline for judging this much text."""
        size = sum(len(piece.text) for piece in pieces)
        return self.group.deadline_ms / 1000 * (1 + size // DEADLINE_CHARS)

    def _advance(self, judgements: tuple[Judgement, ...]) -> tuple[Judgement, ...]:
        """The group's judgements: frontiers move only with an allow, and never back (a late judge starts from zero)."""
        out: list[Judgement] = []
        for judgement in judgements:
            key, verdict = judgement.key, judgement.verdict
            known = self._frontier.get(key, 0)
            if verdict.outcome is Outcome.ALLOW and judgement.cleared > known:
                self._frontier[key] = judgement.cleared
                out.append(judgement)
            else:
                out.append(Judgement(key, known, verdict))
        return tuple(out)

    def _give_up(self, tally: Tally, step: Step) -> None:
        """Nobody is left: nothing moves, or everything does where the profile says so."""
        standing = self._roster.settle(tally, self.group, self._deciders)
        if tally.passed_open:
            tally.judgements = self._all_of(step.text.ends, allow(standing.control))
            return
        tally.judgements = tuple(Judgement(key, self._frontier.get(key, 0), standing) for key in step.ends)

    def _all_of(self, ends: Mapping[ChannelKey, int], verdict: Verdict) -> tuple[Judgement, ...]:
        self._frontier.update(ends)
        return tuple(Judgement(key, end, verdict) for key, end in ends.items())


def _summed(member: str, judgements: tuple[Judgement, ...]) -> Verdict:
    """A member's word over all channels of a step; a step without text has none, and clears nothing."""
    if len(judgements) == 1:
        return judgements[0].verdict
    return worst([judgement.verdict for judgement in judgements]) if judgements else allow(member)
