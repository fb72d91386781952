from __future__ import annotations

from collections.abc import Callable

import pytest
from support.chains import DEADLINE_MS
from support.control_conformance import (
    Case,
    blocks_a_harmful_answer,
    clears_a_benign_answer,
    judges_answers_apart,
    judges_inputs,
    keeps_channels_apart,
)
from support.control_values import context, exchange, group, piece, terms
from support.fake_classifier import FakeClassifier
from support.fake_clock import FakeClock

from gateway.controls.base import AnswerJudge, Context, Control
from gateway.controls.broken import Broken, Fault
from gateway.controls.catalogue import controls
from gateway.controls.chain import Chain
from gateway.controls.magic import MAGIC
from gateway.controls.rules import RulesControl
from gateway.exchange import Direction, Exchange
from gateway.terms import Rule, RuleSet, Standing
from gateway.verdict import Outcome, Verdict

IDS = ("halt", "rules", "lexicon", "input_screen", "output_screen", "harm_screen")
CANARY = "amber kestrel protocol"
BENIGN = "Bees dance to tell each other where the flowers are; " * 8
RULES = RuleSet("canary", (Rule("r1", "cbrn", frozenset(Direction), CANARY, None, 0, "test"),))
HARMFUL = {"lexicon": "They wrote about a nerve agent and how it was banned."}


async def _catalogue() -> dict[str, Control]:
    classifier = FakeClassifier()
    await classifier.start()
    return {control.id: control for control in controls(classifier)}


async def _cases() -> list[Case]:
    plain, halted = context(terms(rules=[RULES])), context(terms(standing=Standing.HALTED))
    cases = []
    for name, control in (await _catalogue()).items():
        text = HARMFUL.get(name, f"Yes, the {CANARY} is what they called it.")
        for blocked, answer in ((exchange(text), text), (exchange(f"Say {MAGIC[name]}."), BENIGN)):
            asked = exchange("What is it?") if answer is text else blocked
            where = halted if name == "halt" else plain
            cases.append(Case(control, plain, exchange("What is it?"), blocked, BENIGN, answer, where, asked))
    return cases


async def test_the_catalogue_is_this_list() -> None:
    """These controls exist and no others; without a classifier those that need one are absent."""
    assert tuple(await _catalogue()) == IDS
    assert tuple(control.id for control in controls(None)) == IDS[:3]
    assert set(MAGIC) == set(IDS)
    rules = RulesControl()
    assert rules in [getattr(control, "control", None) for control in controls(None, rules)]


async def test_every_control_judges_inputs() -> None:
    """The shared conformance suite, inputs: benign allowed, harmful and magic texts blocked."""
    for case in await _cases():
        await judges_inputs(case)


@pytest.mark.parametrize("size", [1, 4, 17, 10_000])
async def test_every_control_judges_answers(size: int) -> None:
    """The shared conformance suite, answers, however they are cut."""
    for case in await _cases():
        await clears_a_benign_answer(case, size)
        await blocks_a_harmful_answer(case, size)


@pytest.mark.parametrize("check", [keeps_channels_apart, judges_answers_apart])
async def test_every_control_keeps_texts_apart(check: Callable[[Case], object]) -> None:
    """The shared conformance suite: channels and answers do not mix."""
    for case in await _cases():
        await check(case)  # type: ignore[misc]  # both checks are coroutines


class Spoilt:
    """A real control with a fault in front of it."""

    def __init__(self, control: Control, fault: Fault) -> None:
        self._control = control
        self.broken = Broken(control.id, fault, inline=control.inline)

    @property
    def id(self) -> str:
        return self._control.id

    @property
    def directions(self) -> frozenset[Direction]:
        return self._control.directions

    @property
    def inline(self) -> bool:
        return self._control.inline

    async def judge_input(self, exchange: Exchange, context: Context) -> Verdict:
        if self.broken.fault is Fault.NONE:
            return await self._control.judge_input(exchange, context)
        return await self.broken.judge_input(exchange, context)

    def open_answer(self, exchange: Exchange, context: Context) -> AnswerJudge:
        whole = self.broken.fault is Fault.NONE
        return (self._control if whole else self.broken).open_answer(exchange, context)

    async def healthy(self) -> bool:
        return await self._control.healthy()


FAULTS = (Fault.RAISES, Fault.HANGS, Fault.NOTHING, Fault.CANCELS)


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("name", IDS)
async def test_every_control_fails_closed_and_recovers(name: str, fault: Fault) -> None:
    """Each control, each fault: alone it refuses, with a substitute that one judges; mended, it judges again."""
    catalogue, clock = await _catalogue(), FakeClock()
    spoilt, stand_in = Spoilt(catalogue[name], fault), catalogue["rules" if name != "rules" else "lexicon"]
    chain = Chain({name: spoilt, stand_in.id: stand_in}, clock)
    for direction in spoilt.directions:
        alone = context(terms(group(name, direction=direction, deadline_ms=DEADLINE_MS)))
        backed = context(terms(group(name, stand_in.id, direction=direction, deadline_ms=DEADLINE_MS)))
        spoilt.broken.fault = fault
        assert await _outcome(chain, direction, alone) == (Outcome.COULD_NOT_EVALUATE, name, 1)
        assert await _outcome(chain, direction, backed) == (Outcome.ALLOW, stand_in.id, 1)
        spoilt.broken.fault = Fault.NONE
        clock.advance(60)
        assert await _outcome(chain, direction, backed) == (Outcome.ALLOW, name, 0)


async def _outcome(chain: Chain, direction: Direction, given: Context) -> tuple[Outcome, str, int]:
    asked = exchange("What is it?")
    if direction is Direction.INPUT:
        ruling = await chain.judge_input(asked, given)
        return ruling.verdict.outcome, ruling.verdict.control, len(ruling.failures)
    step = await chain.open_answer(asked, given).step((piece(BENIGN, final=True),))
    cleared = [judgement.cleared for _, judgement in step.judgements]
    assert cleared == ([len(BENIGN)] if step.verdict.outcome is Outcome.ALLOW else [0])
    return step.verdict.outcome, step.verdict.control, len(step.failures)


async def test_every_screen_fails_closed_when_the_classifier_is_killed() -> None:
    """With the classifier gone the screens are unhealthy, and the lexicon judges in their place, in both directions."""
    classifier = FakeClassifier()
    await classifier.start()
    listed = {control.id: control for control in controls(classifier)}
    await classifier.close()
    chain = Chain(listed, FakeClock())
    for name in IDS[3:]:
        assert not await listed[name].healthy()
        for direction in listed[name].directions:
            backed = context(terms(group(name, "lexicon", direction=direction, deadline_ms=DEADLINE_MS)))
            assert await _outcome(chain, direction, backed) == (Outcome.ALLOW, "lexicon", 1)
            alone = context(terms(group(name, direction=direction, deadline_ms=DEADLINE_MS)))
            assert await _outcome(chain, direction, alone) == (Outcome.COULD_NOT_EVALUATE, name, 1)
