"""Chains over test controls, and a chain that is wrong on purpose: it merges could-not-evaluate into allow."""

from __future__ import annotations

from collections.abc import Sequence

from gateway.controls.base import Control
from gateway.controls.broken import Broken, Fault
from gateway.controls.chain import Chain
from gateway.controls.roster import Roster
from gateway.controls.rulings import Tally
from gateway.controls.smallest import Smallest
from gateway.exchange import Direction
from gateway.terms import Group, OnFailure
from gateway.verdict import Outcome, Verdict, allow
from support.control_values import CONTENT, context, exchange, group, piece, terms
from support.fake_clock import FakeClock

FAULTS = tuple(fault for fault in Fault if fault is not Fault.NONE)
DEADLINE_MS = 20


def chain_of(*controls: Control, clock: FakeClock | None = None, kind: type[Chain] = Chain) -> Chain:
    """A chain over these controls."""
    return kind({control.id: control for control in controls}, clock or FakeClock())


class _MergingRoster(Roster):
    def settle(self, tally: Tally, group: Group, deciders: Sequence[str]) -> Verdict:
        super().settle(tally, group, deciders)
        tally.verdict = allow(deciders[0])
        return tally.verdict


class MergingChain(Chain):
    """What design rule 2 forbids."""

    roster_type = _MergingRoster


async def input_fails_closed(kind: type[Chain], fault: Fault) -> None:
    """A control with a fault and no substitute refuses; with a substitute that one judges; both leave a record."""
    asked = group("broken", name="g", deadline_ms=DEADLINE_MS)
    ruling = await chain_of(Broken(fault=fault), kind=kind).judge_input(exchange("hello"), context(terms(asked)))
    assert ruling.verdict.outcome is Outcome.COULD_NOT_EVALUATE
    assert [(failure.control, failure.group) for failure in ruling.failures] == [("broken", "g")]
    assert (ruling.substitutes, ruling.passed_open) == ((), ())
    both = group("broken", "smallest", name="g", deadline_ms=DEADLINE_MS)
    ruling = await chain_of(Broken(fault=fault), Smallest(), kind=kind).judge_input(
        exchange("hello"), context(terms(both))
    )
    assert (ruling.verdict.outcome, ruling.verdict.control) == (Outcome.ALLOW, "smallest")
    assert (ruling.substitutes, len(ruling.failures)) == (("g",), 1)


async def answer_fails_closed(kind: type[Chain], fault: Fault) -> None:
    """A judge that breaks in mid-answer clears nothing more; a substitute judges all of it and takes over."""
    broken = Broken(fault=Fault.NONE)
    asked = group("broken", name="g", direction=Direction.OUTPUT, deadline_ms=DEADLINE_MS)
    answer = chain_of(broken, kind=kind).open_answer(exchange("hello"), context(terms(asked)))
    assert [one.cleared for _, one in (await answer.step((piece("Good "),))).judgements] == [5]
    broken.fault = fault
    for start in (5, 8):
        ruling = await answer.step((piece("day", start),))
        assert ruling.verdict.outcome is Outcome.COULD_NOT_EVALUATE
        assert all(one.cleared <= 5 for _, one in ruling.judgements)
    broken.fault = Fault.NONE
    both = group("broken", "smallest", name="g", direction=Direction.OUTPUT, deadline_ms=DEADLINE_MS)
    answer = chain_of(broken, Smallest(), kind=kind).open_answer(exchange("hello"), context(terms(both)))
    await answer.step((piece("Good "),))
    broken.fault = fault
    ruling = await answer.step((piece("day", 5),))
    assert [(one.key, one.cleared) for _, one in ruling.judgements] == [(CONTENT, 8)]
    assert (ruling.verdict.outcome, ruling.substitutes, len(ruling.failures)) == (Outcome.ALLOW, ("g",), 1)


def passing(*members: str, direction: Direction = Direction.INPUT) -> Group:
    """A group that a profile lets fail open."""
    return group(*members, name="g", direction=direction, on_failure=OnFailure.PASS, deadline_ms=DEADLINE_MS)
