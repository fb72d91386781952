"""A guard model as a control: the screens' work under the guard's own name."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest
from support.chains import chain_of
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

from classifiers.base import Scored
from gateway.controls.guard import Guard
from gateway.controls.lexicon import LexiconControl
from gateway.exchange import Direction
from gateway.verdict import Outcome

CANARY = "Yes, the amber kestrel protocol is what they called it."
BENIGN = "Bees dance to tell each other where the flowers are; " * 8
NAME = "guard_lg3"


async def _guard(categories: tuple[str, ...] = ("cbrn",)) -> tuple[Guard, FakeClassifier]:
    classifier = FakeClassifier()
    await classifier.start()
    return Guard(classifier, NAME, categories), classifier


async def _case() -> Case:
    plain = context(terms(group(NAME), group(NAME, name="out", direction=Direction.OUTPUT)))
    asked = exchange("What is it?")
    return Case((await _guard())[0], plain, asked, exchange(CANARY), BENIGN, CANARY, plain, asked)


async def test_it_judges_inputs() -> None:
    """The shared conformance suite, inputs."""
    await judges_inputs(await _case())


@pytest.mark.parametrize("size", [1, 17, 10_000])
async def test_it_judges_answers(size: int) -> None:
    """The shared conformance suite, answers."""
    await clears_a_benign_answer(await _case(), size)
    await blocks_a_harmful_answer(await _case(), size)


@pytest.mark.parametrize("check", [keeps_channels_apart, judges_answers_apart])
async def test_it_keeps_texts_apart(check: Callable[[Case], object]) -> None:
    """The shared conformance suite: channels and answers do not mix."""
    await check(await _case())  # type: ignore[misc]  # both checks are coroutines


@pytest.mark.parametrize(("name", "blocked"), [(NAME, True), ("output_screen", False)])
async def test_thresholds_are_its_own(name: str, blocked: bool) -> None:
    """A profile's threshold for the guard counts in both directions; one for the embedded screen does not."""
    guard, _ = await _guard()
    given = context(terms(thresholds=[(name, 500)]))
    verdict = await guard.judge_input(exchange("near kestrel"), given)
    (judgement,) = await guard.open_answer(exchange("What?"), given).step((piece("near kestrel", final=True),))
    wanted = Outcome.BLOCK if blocked else Outcome.ALLOW
    assert (verdict.outcome, judgement.verdict.outcome) == (wanted, wanted)
    assert {verdict.control, judgement.verdict.control} == {NAME}


class Timed(FakeClassifier):
    """Keeps the seconds that it was given."""

    seconds: float = 0.0

    async def score(
        self, messages: Sequence[str], *, budget: int, seconds: float, partition: str = ""
    ) -> tuple[Scored, ...]:
        self.seconds = seconds
        return await super().score(messages, budget=budget, seconds=seconds, partition=partition)


async def test_its_deadline_is_that_of_its_groups() -> None:
    """The classifier gets the seconds of the guard's own group, not of the embedded screen's."""
    classifier = Timed()
    await classifier.start()
    out = Direction.OUTPUT
    given = context(terms(group(NAME, direction=out, deadline_ms=7000), group("output_screen", direction=out)))
    guard = Guard(classifier, NAME, ("cbrn",))
    await guard.open_answer(exchange("What?"), given).step((piece("hello", final=True),))
    assert classifier.seconds == 7.0


async def test_with_the_guard_away_the_substitute_judges() -> None:
    """A guard that is unavailable is stood in for by the next member of its group; with none it cannot be evaluated."""
    guard, classifier = await _guard()
    classifier.mode = "raise"
    assert not await guard.healthy()
    with_substitute = context(terms(group(NAME, "lexicon")))
    ruling = await chain_of(guard, LexiconControl()).judge_input(exchange("hello"), with_substitute)
    assert (ruling.verdict.outcome, ruling.substitutes) == (Outcome.ALLOW, (NAME,))
    alone = await chain_of(guard).judge_input(exchange("hello"), context(terms(group(NAME))))
    assert alone.verdict.outcome is Outcome.COULD_NOT_EVALUATE


async def test_in_shadow_it_only_watches() -> None:
    """A guard in shadow gives its word for the record."""
    guard, _ = await _guard()
    given = context(terms(group(NAME), shadow=[NAME]))
    ruling = await chain_of(guard).judge_input(exchange(CANARY), given)
    assert ruling.verdict.outcome is Outcome.ALLOW
    assert [(verdict.outcome, verdict.shadow) for verdict in ruling.verdicts] == [(Outcome.BLOCK, True)]
