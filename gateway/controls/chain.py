"""The chain: asks the control groups that the terms require and sums their words up. Unary and streamed answers share it.

For each group the members are asked in order until one judges. What a member raises, its missed deadline and nonsense are
failures; could-not-evaluate with cause *input* is an answer and stands. Each member has the group's whole deadline, so a
group takes at most ``len(members) * deadline_ms``. Members in shadow give their word for the record and never decide
(``roster.split``). With nobody left the group could not be evaluated: that counts, unless the profile says
``on_failure: pass``, which is recorded as could-not-evaluate and named in ``passed_open``.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import ClassVar

from msgspec.structs import replace

from gateway.clock import Clock
from gateway.controls.answer_chain import AnswerChain
from gateway.controls.base import Context, Control
from gateway.controls.faults import word
from gateway.controls.roster import Roster, split, together
from gateway.controls.rulings import Ruling, Tally, ruling
from gateway.exchange import Direction, Exchange
from gateway.terms import Group
from gateway.verdict import Outcome, Reason, Verdict, allow

__all__ = ["Chain", "Ruling"]


class Chain:
    """Runs controls. One per process; keeps no state between exchanges but the controls' circuits."""

    roster_type: ClassVar[type[Roster]] = Roster

    def __init__(self, controls: Mapping[str, Control], clock: Clock) -> None:
        """Raises ValueError when a control is listed under another name than its id."""
        self._roster = self.roster_type(controls, clock)

    async def judge_input(self, exchange: Exchange, context: Context) -> Ruling:
        """Judge a request. Never raises for a control's fault.

        Inline groups first, in place; once one blocks, nobody else is asked (``Ruling.unasked``). The others run together.
        """
        inline, slow = self._roster.groups(context.terms, Direction.INPUT)
        tallies: list[Tally] = []
        for position, group in enumerate(inline):
            tally = await self._judge(group, exchange, context)
            tallies.append(tally)
            if tally.verdict is not None and tally.verdict.outcome is Outcome.BLOCK:
                return ruling(tallies, tuple(rest.name for rest in [*inline[position + 1 :], *slow]))
        tallies += await together([partial(self._judge, group, exchange, context) for group in slow])
        return ruling(tallies)

    def open_answer(self, exchange: Exchange, context: Context) -> AnswerChain:
        """The same for the answer to an exchange; judges open with the first step, so nothing can fail here."""
        return AnswerChain(self._roster, exchange, context)

    async def _judge(self, group: Group, exchange: Exchange, context: Context) -> Tally:
        tally = Tally(group.name)
        deciders, watchers = split(group, context.terms)
        for member in watchers:
            verdict = await self._ask(tally, group, member, exchange, context)
            if verdict is not None:
                tally.verdicts.append(replace(verdict, shadow=True))
        if not deciders:
            tally.verdict = allow(watchers[0])
            return tally
        for position, member in enumerate(deciders):
            verdict = await self._ask(tally, group, member, exchange, context)
            if verdict is not None:
                tally.decide(verdict, position)
                return tally
        self._roster.settle(tally, group, deciders)
        return tally

    async def _ask(
        self, tally: Tally, group: Group, member: str, exchange: Exchange, context: Context
    ) -> Verdict | None:
        if not self._roster.admits(member):
            self._roster.note(tally, member, Reason.CONTROL_UNAVAILABLE)
            return None

        async def judged() -> Verdict:
            control = self._roster.find(member, Direction.INPUT)
            return word(await control.judge_input(exchange, context), member)

        return await self._roster.attempt(tally, member, judged, group.deadline_ms / 1000)
