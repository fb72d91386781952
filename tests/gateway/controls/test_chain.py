from __future__ import annotations

import asyncio
from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.chains import DEADLINE_MS, FAULTS, MergingChain, chain_of, input_fails_closed, passing
from support.control_values import context, exchange, group, terms
from support.fake_clock import FakeClock

from gateway.controls.base import Context
from gateway.controls.broken import Broken, Fault
from gateway.controls.chain import Chain
from gateway.controls.rulings import Failure
from gateway.controls.smallest import Smallest
from gateway.exchange import Direction, Exchange
from gateway.terms import OnFailure
from gateway.verdict import Cause, Outcome, Reason, Verdict, allow, worst

BLOCK = (Outcome.BLOCK, Reason.RULE_MATCHED, Cause.NONE)
UNREADABLE = (Outcome.COULD_NOT_EVALUATE, Reason.UNREADABLE, Cause.INPUT)
OWN_FAILURE = (Outcome.COULD_NOT_EVALUATE, Reason.CONTROL_UNAVAILABLE, Cause.INFRASTRUCTURE)
ALLOW = (Outcome.ALLOW, Reason.CLEARED, Cause.NONE)
WORDS = [BLOCK, UNREADABLE, OWN_FAILURE, ALLOW]


class Says(Smallest):
    """Always the same word."""

    def __init__(self, name: str, word: tuple[Outcome, Reason, Cause], *, inline: bool = True) -> None:
        super().__init__(name, inline=inline)
        self._word = Verdict(word[0], name, word[1], word[2])

    async def judge_input(self, exchange: Exchange, context: Context) -> Verdict:
        return self._word


REASONS = {
    Fault.RAISES: Reason.CONTROL_RAISED,
    Fault.HANGS: Reason.CONTROL_TIMED_OUT,
    Fault.LATE: Reason.CONTROL_TIMED_OUT,
    Fault.CANCELS: Reason.CONTROL_UNAVAILABLE,
}


@pytest.mark.parametrize("fault", FAULTS)
async def test_every_fault_fails_closed(fault: Fault) -> None:
    """Whatever a control does wrong, nobody's word becomes allow: its substitute judges, or the request is refused."""
    await input_fails_closed(Chain, fault)


async def test_a_chain_that_merges_could_not_evaluate_into_allow_is_found_out() -> None:
    """The check above fails on a chain that breaks design rule 2, so that it is worth something."""
    with pytest.raises(AssertionError):
        await input_fails_closed(MergingChain, Fault.RAISES)


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("inline", [True, False])
async def test_every_fault_has_its_reason(fault: Fault, inline: bool) -> None:
    """Exceptions, deadlines, leaked cancellations and nonsense are told apart in the record, inline or not."""
    asked = group("broken", deadline_ms=DEADLINE_MS)
    ruling = await chain_of(Broken(fault=fault, inline=inline)).judge_input(exchange("x"), context(terms(asked)))
    reason = REASONS.get(fault, Reason.CONTROL_NONSENSE)
    assert ruling.failures == (Failure("broken", reason, "broken"),)
    assert (ruling.verdict.reason, ruling.verdict.control) == (reason, "broken")
    assert ruling.verdicts == (ruling.verdict,)


async def test_no_group_is_a_refusal() -> None:
    """Terms without a group for inputs could not be evaluated, also when answers have one."""
    only = terms(group("smallest", direction=Direction.OUTPUT))
    ruling = await chain_of(Smallest()).judge_input(exchange("x"), context(only))
    assert (ruling.verdict.outcome, ruling.verdict.reason) == (Outcome.COULD_NOT_EVALUATE, Reason.NO_JUDGE)


async def test_an_absent_member_is_unavailable() -> None:
    """A control that is not in the catalogue counts as failed: its substitute judges, or the request is refused."""
    chain = chain_of(Smallest())
    ruling = await chain.judge_input(exchange("x"), context(terms(group("gone", "smallest"))))
    assert (ruling.verdict, ruling.substitutes) == (allow("smallest"), ("gone",))
    ruling = await chain.judge_input(exchange("x"), context(terms(group("gone"))))
    assert ruling.failures == (Failure("gone", Reason.CONTROL_UNAVAILABLE, "gone"),)
    assert ruling.verdict.outcome is Outcome.COULD_NOT_EVALUATE


async def test_unreadable_input_is_an_answer() -> None:
    """Could-not-evaluate for the sender's doing stands: no substitute is asked to overrule it."""
    chain = chain_of(Says("a", UNREADABLE), Smallest())
    ruling = await chain.judge_input(exchange("x"), context(terms(group("a", "smallest", on_failure=OnFailure.PASS))))
    assert (ruling.verdict.reason, ruling.verdict.cause) == (Reason.UNREADABLE, Cause.INPUT)
    assert (ruling.failures, ruling.passed_open) == ((), ())


async def test_a_control_that_says_it_failed_is_replaced() -> None:
    """An infrastructure word of the control's own is a failure like any other."""
    chain = chain_of(Says("a", OWN_FAILURE), Smallest())
    ruling = await chain.judge_input(exchange("x"), context(terms(group("a", "smallest"))))
    assert (ruling.verdict, ruling.failures[0].reason) == (allow("smallest"), Reason.CONTROL_UNAVAILABLE)


async def test_failing_open_is_recorded() -> None:
    """Where the profile says pass, the failure is in the record and does not count, and the group is named."""
    chain = chain_of(Broken(), Smallest())
    given_terms = terms(passing("broken"), group("smallest"))
    ruling = await chain.judge_input(exchange("x"), context(given_terms))
    assert ruling.verdict.outcome is Outcome.ALLOW
    assert ruling.passed_open == ("g",)
    assert [verdict.outcome for verdict in ruling.verdicts] == [Outcome.ALLOW, Outcome.COULD_NOT_EVALUATE]
    alone = await chain.judge_input(exchange("x"), context(terms(passing("broken"))))
    assert (alone.verdict.outcome, alone.passed_open) == (Outcome.ALLOW, ("g",))


async def test_failing_open_does_not_open_other_groups() -> None:
    """A group that passes open leaves a block, and a failure that must refuse, as they are."""
    chain = chain_of(Broken(), Says("a", BLOCK), Broken("other"))
    ruling = await chain.judge_input(exchange("x"), context(terms(passing("broken"), group("a"))))
    assert ruling.verdict.outcome is Outcome.BLOCK
    ruling = await chain.judge_input(exchange("x"), context(terms(passing("broken"), group("other"))))
    assert (ruling.verdict.outcome, ruling.verdict.control) == (Outcome.COULD_NOT_EVALUATE, "other")


async def test_an_inline_block_spares_the_others() -> None:
    """Once an inline group blocks, the groups after it are not asked, and the ruling names them."""
    slow = Broken("slow", Fault.NONE)
    chain = chain_of(Says("a", BLOCK), Smallest("b"), slow)
    ruling = await chain.judge_input(exchange("x"), context(terms(group("a"), group("b"), group("slow"))))
    assert (ruling.verdict.control, ruling.unasked, slow.asked) == ("a", ("b", "slow"), 0)


async def test_slow_groups_run_together() -> None:
    """Two groups that are not inline wait at the same time, and both words are in the ruling in a fixed order."""
    met = asyncio.Barrier(2)

    class Meets(Smallest):
        async def judge_input(self, exchange: Exchange, context: Context) -> Verdict:
            await met.wait()
            return await super().judge_input(exchange, context)

    chain = chain_of(Meets("b", inline=False), Meets("a", inline=False))
    async with asyncio.timeout(30):
        ruling = await chain.judge_input(exchange("x"), context(terms(group("b"), group("a"))))
    assert [verdict.control for verdict in ruling.verdicts] == ["a", "b"]


async def test_a_shadow_control_never_changes_a_verdict() -> None:
    """Its block is recorded and marked; the group is decided by a member that is not in shadow, or counts as allow."""
    chain = chain_of(Says("a", BLOCK), Smallest(), Says("c", BLOCK))
    alone = await chain.judge_input(exchange("x"), context(terms(group("a"), shadow=("a",))))
    assert alone.verdict.outcome is Outcome.ALLOW
    assert [(verdict.outcome, verdict.shadow) for verdict in alone.verdicts] == [(Outcome.BLOCK, True)]
    first = await chain.judge_input(exchange("x"), context(terms(group("a", "smallest"), shadow=("a",))))
    assert (first.verdict, first.substitutes) == (allow("smallest"), ())
    real = await chain.judge_input(exchange("x"), context(terms(group("a", "c"), shadow=("a",))))
    assert (real.verdict.outcome, real.verdict.control) == (Outcome.BLOCK, "c")


async def test_a_shadow_control_cannot_stand_in() -> None:
    """When the members that decide have failed, a healthy one in shadow does not turn that into allow."""
    chain = chain_of(Broken(), Smallest())
    ruling = await chain.judge_input(exchange("x"), context(terms(group("broken", "smallest"), shadow=("smallest",))))
    assert ruling.verdict.outcome is Outcome.COULD_NOT_EVALUATE


async def test_a_failing_shadow_control_refuses_nothing() -> None:
    """A control in shadow that fails is recorded, and the request goes on."""
    ruling = await chain_of(Broken()).judge_input(exchange("x"), context(terms(group("broken"), shadow=("broken",))))
    assert (ruling.verdict.outcome, ruling.passed_open, len(ruling.failures)) == (Outcome.ALLOW, (), 1)


async def test_a_hanging_control_is_left_alone_and_comes_back() -> None:
    """After three missed deadlines the control is not asked for a second; a probe that succeeds brings it back."""
    clock, broken = FakeClock(), Broken(fault=Fault.HANGS)
    chain = chain_of(broken, Smallest(), clock=clock)
    asked = context(terms(group("broken", "smallest", deadline_ms=DEADLINE_MS)))
    for _ in range(5):
        ruling = await chain.judge_input(exchange("x"), asked)
        assert (ruling.verdict, ruling.substitutes) == (allow("smallest"), ("broken",))
    assert broken.asked == 3
    assert ruling.failures == (Failure("broken", Reason.CONTROL_UNAVAILABLE, "broken"),)
    broken.fault = Fault.NONE
    clock.advance(1.0)
    for _ in range(2):
        ruling = await chain.judge_input(exchange("x"), asked)
        assert (ruling.verdict, ruling.substitutes, ruling.failures) == (allow("broken"), (), ())


@pytest.mark.parametrize("inline", [True, False])
@pytest.mark.parametrize("more", [(), ("other",)])
async def test_cancellation_is_never_swallowed(inline: bool, more: tuple[str, ...]) -> None:
    """When the exchange is cancelled the chain is, and no substitute judges for it."""
    hanging, other = Broken(fault=Fault.HANGS, inline=inline), Broken("other", Fault.HANGS)
    chain = chain_of(hanging, other, Smallest())
    groups = [group("broken", "smallest"), *(group(name) for name in more)]
    task = asyncio.ensure_future(chain.judge_input(exchange("x"), context(terms(*groups))))
    while not hanging.asked:
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


@given(st.lists(st.tuples(st.sampled_from(WORDS), st.booleans()), min_size=1, max_size=4))
def test_the_verdict_does_not_depend_on_the_order_of_groups(
    words: list[tuple[tuple[Outcome, Reason, Cause], bool]],
) -> None:
    """However groups are named, and so sorted, the same controls give a verdict of the same severity: the worst word."""
    controls = [Says(f"c{index}", word, inline=inline) for index, (word, inline) in enumerate(words)]
    expected = worst(Verdict(outcome, "x", reason, cause) for (outcome, reason, cause), _ in words).severity
    for names in permutations("abcd", len(controls)):
        groups = [group(control.id, name=name) for control, name in zip(controls, names, strict=True)]
        ruling = asyncio.run(chain_of(*controls).judge_input(exchange("x"), context(terms(*groups))))
        assert ruling.verdict.severity == expected


@given(st.permutations([BLOCK, UNREADABLE, OWN_FAILURE, ALLOW]), st.integers(1, 4))
def test_worst_is_the_same_in_every_order(words: list[tuple[Outcome, Reason, Cause]], size: int) -> None:
    """Block beats could-not-evaluate beats allow, the sender's doing beats ours, wherever they stand; shadows do not count."""
    verdicts = [Verdict(outcome, "x", reason, cause) for outcome, reason, cause in words[:size]]
    order = [BLOCK, UNREADABLE, OWN_FAILURE, ALLOW]
    best = min(words[:size], key=order.index)
    shadow = Verdict(Outcome.BLOCK, "y", Reason.RULE_MATCHED, shadow=True)
    assert worst([shadow, *verdicts]).severity == Verdict(best[0], "x", best[1], best[2]).severity
