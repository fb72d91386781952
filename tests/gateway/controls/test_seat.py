from __future__ import annotations

import asyncio
from typing import Any

import pytest
from msgspec.structs import replace
from support.chains import DEADLINE_MS, chain_of
from support.control_values import CONTENT, context, exchange, group, piece, terms
from support.fake_clock import FakeClock

from gateway.controls.answer_chain import AnswerChain
from gateway.controls.base import AnswerJudge, Context
from gateway.controls.broken import Broken, Fault
from gateway.controls.seat import DEADLINE_CHARS
from gateway.controls.smallest import Smallest
from gateway.exchange import Channel, ChannelKey, Direction, Exchange, Piece
from gateway.verdict import Judgement, Outcome, Reason, allow

OTHER = ChannelKey(3, Channel.REFUSAL)


class Scripted(Smallest):
    """Answers each step with the next entry of a script; None stands for its own, honest judgements."""

    def __init__(self, *script: Any) -> None:
        super().__init__("scripted")
        self._script = list(script)

    def open_answer(self, exchange: Exchange, context: Context) -> AnswerJudge:
        return _ScriptedJudge(self._script, super().open_answer(exchange, context))


class _ScriptedJudge:
    def __init__(self, script: list[Any], judge: AnswerJudge) -> None:
        self._script = script
        self._judge = judge

    async def step(self, pieces: tuple[Piece, ...]) -> tuple[Judgement, ...]:
        said = self._script.pop(0)
        judgements: tuple[Judgement, ...] = await self._judge.step(pieces) if said is None else said
        return judgements


def _open(*controls: Smallest, clock: FakeClock | None = None) -> AnswerChain:
    asked = group(*(control.id for control in controls), name="g", direction=Direction.OUTPUT, deadline_ms=DEADLINE_MS)
    return chain_of(*controls, clock=clock).open_answer(exchange("x"), context(terms(asked)))


GOOD = Judgement(CONTENT, 2, allow("scripted"))


class Odd(Judgement):
    """A judgement of another class."""


@pytest.mark.parametrize(
    "said",
    [
        [GOOD],  # no tuple
        (),
        (GOOD, GOOD),
        ("cleared",),
        (Odd(CONTENT, 2, allow("scripted")),),
        (replace(GOOD, cleared=4),),  # beyond the text
        (replace(GOOD, cleared=0),),  # back
        (replace(GOOD, cleared=True),),
        (replace(GOOD, key=OTHER),),
        (replace(GOOD, key="content"),),
        (replace(GOOD, verdict=allow("smallest")),),
    ],
)
async def test_nonsense_of_a_judge_is_a_failure(said: Any) -> None:
    """A judgement that cannot be is not used: nothing moves, and the group could not be evaluated."""
    answer = _open(Scripted(None, said))
    await answer.step((piece("a"),))
    ruling = await answer.step((piece("bc", 1),))
    assert [failure.reason for failure in ruling.failures] == [Reason.CONTROL_NONSENSE]
    assert [one.cleared for _, one in ruling.judgements] == [1]
    assert ruling.verdict.outcome is Outcome.COULD_NOT_EVALUATE


async def test_a_channel_judged_twice_is_nonsense() -> None:
    """Two judgements on one of two channels leave the other unjudged."""
    answer = _open(Scripted((GOOD, GOOD)))
    ruling = await answer.step((piece("ab"), piece("cd", key=OTHER)))
    assert [failure.reason for failure in ruling.failures] == [Reason.CONTROL_NONSENSE]


async def test_a_frontier_does_not_move_with_a_block() -> None:
    """A judge that flags a text and clears it in one word clears nothing."""
    block = replace(GOOD.verdict, outcome=Outcome.BLOCK, reason=Reason.RULE_MATCHED)
    ruling = await _open(Scripted((replace(GOOD, verdict=block),))).step((piece("ab"),))
    assert [(one.cleared, one.verdict) for _, one in ruling.judgements] == [(0, block)]
    assert ruling.verdict is block


async def test_a_judge_that_cannot_be_opened_is_replaced() -> None:
    """What open_answer raises is a failure like any other."""

    class Unopened(Smallest):
        def open_answer(self, exchange: Exchange, context: Context) -> AnswerJudge:
            raise OSError("no such model")

    ruling = await _open(Unopened("unopened"), Smallest()).step((piece("ab"),))
    assert (ruling.verdict, ruling.substitutes) == (allow("smallest"), ("g",))
    assert [failure.reason for failure in ruling.failures] == [Reason.CONTROL_RAISED]


async def test_a_paused_control_is_not_opened() -> None:
    """Answers share the circuits: after three missed deadlines the next answer opens the substitute at once."""
    clock, hanging = FakeClock(), Broken(fault=Fault.HANGS)
    for _ in range(3):
        chain = _open(hanging, Smallest(), clock=clock)
        await chain.step((piece("a"),))
    assert hanging.asked == 3  # each chain here has circuits of its own
    asked = group("broken", "smallest", name="g", direction=Direction.OUTPUT, deadline_ms=DEADLINE_MS)
    shared = chain_of(hanging, Smallest(), clock=clock)
    for _ in range(5):
        ruling = await shared.open_answer(exchange("x"), context(terms(asked))).step((piece("a"),))
        assert ruling.verdict == allow("smallest")
    assert hanging.asked == 6
    assert [failure.reason for failure in ruling.failures] == [Reason.CONTROL_UNAVAILABLE]
    hanging.fault = Fault.NONE
    clock.advance(1.0)
    ruling = await shared.open_answer(exchange("x"), context(terms(asked))).step((piece("a"),))
    assert (ruling.verdict, ruling.failures) == (allow("broken"), ())


async def test_the_deadline_grows_with_the_text() -> None:
    """A step with a whole long answer may take the deadline once for each 16 Ki characters begun, and no longer."""

    class Slow(Smallest):
        def __init__(self) -> None:
            super().__init__("slow", inline=False)

        def open_answer(self, exchange: Exchange, context: Context) -> AnswerJudge:
            return _SlowJudge(super().open_answer(exchange, context))

    class _SlowJudge:
        def __init__(self, judge: AnswerJudge) -> None:
            self._judge = judge

        async def step(self, pieces: tuple[Piece, ...]) -> tuple[Judgement, ...]:
            await asyncio.sleep(3 * DEADLINE_MS / 1000)
            return await self._judge.step(pieces)

    short = await _open(Slow()).step((piece("a"),))
    assert [failure.reason for failure in short.failures] == [Reason.CONTROL_TIMED_OUT]
    long = await _open(Slow()).step((piece("a" * (DEADLINE_CHARS * 10)),))
    assert long.failures == ()


@pytest.mark.parametrize("inline", [True, False])
async def test_cancellation_is_never_swallowed(inline: bool) -> None:
    """When the answer is cancelled in a step, the step ends as cancelled and no substitute is asked."""
    hanging = Broken(fault=Fault.HANGS, inline=inline)
    task = asyncio.ensure_future(_open(hanging, Smallest()).step((piece("a"),)))
    while not hanging.asked:
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
