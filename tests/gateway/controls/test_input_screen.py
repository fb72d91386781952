from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest
from support.chains import chain_of
from support.control_values import context, exchange, group, leaf, terms
from support.fake_classifier import FakeClassifier, by_keyword
from support.fake_clock import FakeClock

from classifiers.base import ClassifierInvalid, ClassifierTimeout, ClassifierUnavailable, Scored
from gateway.controls.faults import ControlFault
from gateway.controls.input_screen import HARM_ID, InputScreen
from gateway.controls.smallest import Smallest
from gateway.exchange import Caller, Direction, Origin
from gateway.verdict import Cause, Outcome, Reason, allow

BAD = "Explain the amber kestrel protocol to me."


async def _started(classifier: FakeClassifier) -> FakeClassifier:
    await classifier.start()
    return classifier


async def _screen() -> InputScreen:
    return InputScreen(await _started(FakeClassifier()))


async def test_a_harmful_leaf_is_blocked_wherever_it_stands() -> None:
    """Any leaf of any origin is scored; the verdict names its path, category and score, and no text."""
    screen = await _screen()
    for origin in Origin:
        given = exchange(leaf("Hello.", "messages[0].content"), leaf(BAD, "messages[1].content", origin))
        verdict = await screen.judge_input(given, context())
        assert (verdict.outcome, verdict.reason, verdict.control) == (
            Outcome.BLOCK,
            Reason.CLASSIFIER_FLAGGED,
            "input_screen",
        )
        assert (verdict.category, verdict.detail, verdict.score) == ("cbrn", "messages[1].content", 990)


async def test_a_benign_request_is_allowed_with_its_score() -> None:
    """Below the threshold the verdict is allow, and the ledger gets the highest score; nothing to read scores zero."""
    screen = await _screen()
    assert await screen.judge_input(exchange("Hello there."), context()) == allow("input_screen", score=10)
    assert await screen.judge_input(exchange("near kestrel"), context()) == allow("input_screen", score=600)
    assert await screen.judge_input(exchange("  "), context()) == allow("input_screen", score=0)


async def test_a_phrase_split_over_turns_is_found() -> None:
    """Joined readings are scored like leaves: words spread over turns are read together."""
    verdict = await (await _screen()).judge_input(
        exchange(
            leaf("tell me the amber", "messages[0].content[0].text"),
            leaf(" kestrel protocol", "messages[0].content[1].text"),
        ),
        context(),
    )
    assert (verdict.outcome, verdict.detail) == (Outcome.BLOCK, "messages[0].content[1].text")


async def test_each_text_is_scored_once_in_one_call() -> None:
    """Repeated texts are not scored again, and all go to the classifier together under one budget."""
    classifier = await _started(FakeClassifier())
    await InputScreen(classifier).judge_input(exchange("same", "same", "other"), context())
    (call,) = classifier.calls
    assert len(call) == len(set(call))
    assert {"same", "other"} <= set(call)


async def test_over_budget_is_the_sender_s_to_mend() -> None:
    """A prompt that needs more windows than the profile allows could not be evaluated, cause input; nobody overrules it."""
    long = exchange("word " * 500)
    screen = await _screen()
    verdict = await screen.judge_input(long, context(terms(budget=10)))
    assert (verdict.outcome, verdict.cause, verdict.reason) == (
        Outcome.COULD_NOT_EVALUATE,
        Cause.INPUT,
        Reason.OVER_BUDGET,
    )
    assert (await screen.judge_input(long, context())).outcome is Outcome.ALLOW
    asked = terms(group("input_screen", "smallest"), budget=10)
    ruling = await chain_of(screen, Smallest()).judge_input(long, context(asked))
    assert (ruling.verdict, ruling.failures) == (verdict, ())


async def test_the_profile_s_threshold_counts() -> None:
    """A lower threshold in the terms blocks what the card would let through."""
    verdict = await (await _screen()).judge_input(
        exchange("near kestrel"), context(terms(thresholds=[("input_screen", 600)]))
    )
    assert (verdict.outcome, verdict.score) == (Outcome.BLOCK, 600)


async def test_only_its_categories_count() -> None:
    """The blocking screen does not look at other harm; the one that monitors looks at all categories."""
    classifier = await _started(FakeClassifier(by_keyword({"rude": (0.1, 0.95)}, (0.0, 0.0))))
    assert (await InputScreen(classifier).judge_input(exchange("rude"), context())).outcome is Outcome.ALLOW
    harm = await InputScreen(classifier, HARM_ID, ()).judge_input(exchange("rude"), context())
    assert (harm.outcome, harm.control, harm.category) == (Outcome.BLOCK, "harm_screen", "other_harm")


@pytest.mark.parametrize(
    ("mode", "error", "reason"),
    [
        ("raise", ClassifierUnavailable, Reason.CONTROL_UNAVAILABLE),
        ("hang", ClassifierTimeout, Reason.CONTROL_TIMED_OUT),
        ("nonsense", ClassifierInvalid, Reason.CONTROL_NONSENSE),
    ],
)
async def test_a_broken_classifier_fails_closed(mode: str, error: type[Exception], reason: Reason) -> None:
    """What the classifier does wrong is raised; the chain gives it its reason, and the substitute judges, or nobody."""
    classifier = await _started(FakeClassifier())
    classifier.mode = mode
    screen = InputScreen(classifier)
    asked = group("input_screen", deadline_ms=20)
    with pytest.raises(error):
        await screen.judge_input(exchange("Hello."), context(terms(asked)))
    chain = chain_of(screen, Smallest())
    refused = await chain.judge_input(exchange("Hello."), context(terms(asked)))
    assert (refused.verdict.outcome, refused.verdict.reason) == (Outcome.COULD_NOT_EVALUATE, reason)
    both = terms(group("input_screen", "smallest", deadline_ms=20))
    judged = await chain.judge_input(exchange("Hello."), context(both))
    assert (judged.verdict, judged.substitutes) == (allow("smallest"), ("input_screen",))
    classifier.mode = "ok"
    assert (await chain.judge_input(exchange(BAD), context(both))).verdict.outcome is Outcome.BLOCK


async def test_a_killed_classifier_is_replaced_until_it_is_back() -> None:
    """While the classifier is gone its substitute judges; started again, and after the pause, the screen judges."""
    clock, classifier = FakeClock(), await _started(FakeClassifier())
    chain = chain_of(InputScreen(classifier), Smallest(), clock=clock)
    both = context(terms(group("input_screen", "smallest")))
    await classifier.close()
    for _ in range(4):
        assert (await chain.judge_input(exchange(BAD), both)).verdict == allow("smallest")
    await classifier.start()
    clock.advance(1.0)
    assert (await chain.judge_input(exchange(BAD), both)).verdict.control == "input_screen"


async def test_too_few_results_are_nonsense() -> None:
    """A classifier that answers for fewer texts than asked has not judged the request."""

    class Short(FakeClassifier):
        async def score(
            self, messages: Sequence[str], *, budget: int, seconds: float, partition: str = ""
        ) -> tuple[Scored, ...]:
            return (await super().score(messages, budget=budget, seconds=seconds))[1:]

    with pytest.raises(ClassifierInvalid):
        await InputScreen(await _started(Short())).judge_input(exchange("Hello."), context())


async def test_it_judges_inputs_only() -> None:
    """It has one direction, is not inline, opens no answers, and is as healthy as its classifier."""
    screen = await _screen()
    assert (screen.directions, screen.inline, await screen.healthy()) == (frozenset({Direction.INPUT}), False, True)
    assert not await InputScreen(FakeClassifier()).healthy()
    with pytest.raises(ControlFault):
        screen.open_answer(exchange("x"), context())


async def test_scores_are_kept_for_the_caller_alone() -> None:
    """The caller's id is the partition of the classifier's cache, so that nobody can time what others sent."""
    classifier = await _started(FakeClassifier())
    await InputScreen(classifier).judge_input(exchange("Hello."), replace(context(), caller=Caller("key-7", "vetted")))
    assert classifier.partitions == ["key-7"]


async def test_in_shadow_it_records_its_score_and_blocks_nothing() -> None:
    """What it would have blocked is allowed; the verdict with score and category is kept, marked as shadow."""
    chain = chain_of(await _screen())
    ruling = await chain.judge_input(exchange(BAD), context(terms(group("input_screen"), shadow=("input_screen",))))
    assert ruling.verdict.outcome is Outcome.ALLOW
    (verdict,) = ruling.verdicts
    assert (verdict.outcome, verdict.shadow, verdict.category, verdict.score) == (Outcome.BLOCK, True, "cbrn", 990)
