from __future__ import annotations

import asyncio
import statistics
from collections.abc import Callable, Mapping
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.chains import chain_of
from support.control_values import CONTENT, context, cut, exchange, group, leaf, piece, terms
from support.fake_classifier import FAKE_CARD, KESTREL, FakeClassifier, by_keyword

from classifiers.base import ClassifierInvalid, ClassifierTimeout, ClassifierUnavailable
from gateway.controls.base import AnswerJudge
from gateway.controls.faults import ControlFault
from gateway.controls.output_screen import CALM_STEP, CONTEXT, FIRST, HEAD, HOLD, QUESTION, STEP, OutputScreen, question
from gateway.controls.smallest import Smallest
from gateway.exchange import Caller, Channel, ChannelKey, Direction, Exchange, Origin
from gateway.terms import Terms
from gateway.verdict import Cause, Judgement, Outcome, Reason, allow

PHRASE = "amber kestrel protocol"
OTHER = ChannelKey(1, Channel.CONTENT)
ROOMY = replace(FAKE_CARD, window_tokens=128)


async def _judge(
    scorer: Callable[[str], tuple[float, ...]] = KESTREL, asked: Exchange | None = None, given: Terms | None = None
) -> tuple[AnswerJudge, FakeClassifier]:
    classifier = FakeClassifier(scorer)
    await classifier.start()
    return OutputScreen(classifier).open_answer(asked or exchange("Hello?"), context(given)), classifier


async def _run(judge: AnswerJudge, text: str, size: int) -> list[Judgement]:
    judgements = []
    for one in cut(text, size):
        judgements.extend(await judge.step((one,)))
    return judgements


def _words(count: int) -> str:
    return "".join(f"w{index % 100:02d} " for index in range(count))  # 4 characters a word


async def test_a_benign_stream_is_held_back_little() -> None:
    """Of 400 tokens of 4 characters the first leaves within 64, and the median hold-back is at most 48 tokens."""
    judge, _ = await _judge()
    held, first = [], None
    for index, judgement in enumerate(await _run(judge, _words(400), 4)):
        tokens = index + 1
        held.append(tokens - judgement.cleared / 4)
        if judgement.cleared and first is None:
            first = tokens
    assert first is not None
    assert first <= 64
    assert statistics.median(held) <= 48
    assert held[-1] == 0
    assert max(held) <= CALM_STEP / 4


async def test_work_does_not_grow_with_the_answer() -> None:
    """Each step scores the same bounded text however long the answer is, and only when enough is new."""
    judge, classifier = await _judge()
    await _run(judge, _words(2000), 4)
    calls = [sum(map(len, call)) for call in classifier.calls]
    assert max(calls) <= CONTEXT + CALM_STEP + 4
    assert len(calls) <= 3 + 8000 // CALM_STEP
    assert statistics.mean(calls[-20:]) <= statistics.mean(calls[10:30]) + STEP


async def test_steps_are_long_only_while_scores_are_low() -> None:
    """At half of near and above, and for the next step after it, text is scored in steps half as long."""
    counts = []
    for score in (0.0, 0.35):
        judge, classifier = await _judge(lambda _, score=score: (score, 0.0))
        await _run(judge, _words(500), 4)
        counts.append(len(classifier.calls))
    assert counts[0] <= 3 + 2000 // CALM_STEP
    assert counts[1] >= 2000 // STEP


async def test_a_held_stream_costs_a_bounded_window_too() -> None:
    """While scores stay near, windows grow to the hold's bound and no further."""
    judge, classifier = await _judge(lambda _: (0.6, 0.0))
    judgements = await _run(judge, _words(2000), 4)
    assert max(sum(map(len, call)) for call in classifier.calls) <= CONTEXT + HOLD + 2 * STEP
    assert [one.cleared for one in judgements[:-1]] == [0] * 1999
    assert judgements[-1].cleared == 8000


@given(st.integers(0, 700), st.integers(0, 400), st.integers(1, 97))
def test_a_flagged_phrase_is_never_cleared(before: int, after: int, size: int) -> None:
    """Wherever the phrase stands and however the answer is cut, it is flagged before its last word is cleared."""
    asyncio.run(_flagged(before, after, size))


async def _flagged(before: int, after: int, size: int) -> None:
    judge, _ = await _judge()
    head = ("ok " * 300)[:before]
    judgements = await _run(judge, head + " " + PHRASE + " " + ("so " * 200)[:after], size)
    assert judgements[-1].verdict.outcome is Outcome.BLOCK
    assert judgements[-1].verdict.category == "cbrn"
    assert max(one.cleared for one in judgements) < len(head) + 1 + len(PHRASE)


async def test_a_flag_stays() -> None:
    """After a block nothing is scored or cleared any more."""
    judge, classifier = await _judge()
    await judge.step((piece(PHRASE + " and so on, for as long as it takes."),))
    calls = len(classifier.calls)
    (judgement,) = await judge.step((piece("x" * 500, 58, final=True),))
    assert (judgement.cleared, judgement.verdict.outcome, judgement.verdict.score) == (0, Outcome.BLOCK, 990)
    assert len(classifier.calls) == calls


async def test_a_short_answer_is_judged_at_its_end() -> None:
    """Text below the first step waits for more or for the end; an empty answer has nothing to wait for."""
    judge, classifier = await _judge()
    assert [one.cleared for one in await judge.step((piece("Good day."),))] == [0]
    assert [one.cleared for one in await judge.step((piece("", 9, final=True),))] == [9]
    assert [one.cleared for one in await judge.step((piece("", 9, final=True),))] == [9]
    assert [one.cleared for one in await judge.step((piece("", key=OTHER, final=True),))] == [0]
    assert len([call for call in classifier.calls if "Good day." in call]) == 1


def _until(word: str, near: float) -> Callable[[str], tuple[float, ...]]:
    """Near until a window holds the word."""
    return lambda text: (0.01 if word in text or "maybe" not in text else near, 0.0)


async def test_a_hold_ends_when_more_text_makes_it_harmless() -> None:
    """Near text is held; the larger window with what follows falls below near, and all of it is cleared."""
    classifier = FakeClassifier(_until("novel", 0.6), card=ROOMY)
    await classifier.start()
    judge = OutputScreen(classifier).open_answer(exchange("Hello?"), context())
    (start,) = await judge.step((piece("a" * 50),))
    (held,) = await judge.step((piece(" maybe" + "b" * CALM_STEP, 50),))
    (freed,) = await judge.step((piece(" in a novel, of course" + "c" * 60, 56 + CALM_STEP),))
    assert (start.cleared, held.cleared, held.verdict.outcome) == (50, 50, Outcome.ALLOW)
    assert (held.verdict.score, freed.cleared) == (600, 138 + CALM_STEP)


async def test_a_long_hold_stays_until_the_end() -> None:
    """Text that stayed near for longer than the hold's bound is not let go by harmless text after it, only by the end."""
    judge, _ = await _judge(_until("never", 0.6))
    judgements = await _run(judge, "maybe " * 200 + "fine " * 200, 50)
    assert {one.cleared for one in judgements[:-1]} == {0}
    assert judgements[-1].cleared == 2200


async def test_the_end_lets_near_text_go() -> None:
    """At the end of a channel only the block threshold decides."""
    judge, _ = await _judge()
    (judgement,) = await judge.step((piece("this is near kestrel", final=True),))
    assert (judgement.cleared, judgement.verdict) == (20, allow("output_screen", score=600))


async def test_channels_are_scored_together_and_judged_apart() -> None:
    """Two channels that are due go to the classifier in one call; a flag in one leaves the other's verdict alone."""
    judge, classifier = await _judge()
    await judge.step((piece("warm up", key=OTHER),))
    good, bad = await judge.step((piece("g" * FIRST), piece(PHRASE + "h" * FIRST, 7, key=OTHER)))
    assert (good.cleared, good.verdict.outcome) == (FIRST, Outcome.ALLOW)
    assert (bad.key, bad.cleared, bad.verdict.outcome) == (OTHER, 0, Outcome.BLOCK)
    assert len(classifier.calls[-1]) == 2


async def test_encoded_answers_are_read_decoded() -> None:
    """A base64 run in the window is scored decoded as well."""
    judge, _ = await _judge()
    text = "Here it is: YW1iZXIga2VzdHJlbCBwcm90b2NvbCBpcyB0aGlz"
    (judgement,) = await judge.step((piece(text, final=True),))
    assert judgement.verdict.outcome is Outcome.BLOCK


ASKED: Mapping[str, tuple[float, ...]] = {"shady first": (0.1, 0.0), "shady": (0.6, 0.0), "vile": (0.9, 0.0)}


def _pair(text: str) -> tuple[float, ...]:
    """Harmful only when question and answer stand together."""
    return (0.9, 0.0) if "shady" in text and "step one" in text else by_keyword(ASKED, (0.01, 0.0))(text)


async def test_an_answer_is_judged_behind_a_near_question() -> None:
    """Text that is harmful only as an answer to its question is blocked where the question's own score is near."""
    judge, _ = await _judge(_pair, exchange("a shady question"))
    (judgement,) = await judge.step((piece("step one is this and that", final=True),))
    assert (judgement.verdict.outcome, judgement.verdict.score, judgement.cleared) == (Outcome.BLOCK, 900, 0)
    judge, classifier = await _judge(_pair, exchange("an innocent question"))
    (judgement,) = await judge.step((piece("step one is this and that", final=True),))
    assert (judgement.verdict.outcome, judgement.cleared) == (Outcome.ALLOW, 25)
    assert len(classifier.calls) == 2


async def test_only_the_head_of_an_answer_is_judged_behind_the_question() -> None:
    """After the head, steps score the answer alone: the cost of a step stays what it was."""
    judge, classifier = await _judge(_pair, exchange("a shady question"))
    judgements = await _run(judge, _words(400), 4)
    behind = [call for call in classifier.calls if any(text.startswith("a shady question\n") for text in call)]
    assert 0 < len(behind) <= 1 + HEAD // STEP
    assert max(len(text) for call in behind for text in call) <= QUESTION + 1 + HEAD
    assert judgements[-1].cleared == 1600


async def test_an_answer_to_a_flagged_question_is_held_whole() -> None:
    """Where the question alone reaches the threshold, and yet came this far, the answer waits for its end."""
    judge, _ = await _judge(_pair, exchange("a vile question"))
    judgements = await _run(judge, _words(100), 4)
    assert {one.cleared for one in judgements[:-1]} == {0}
    assert judgements[-1].cleared == 400


def test_the_question_is_the_end_of_the_user_s_last_turn() -> None:
    """New text of the user's, cut to its end; nothing of operators, history or documents."""
    asked = exchange(
        leaf("system", origin=Origin.OPERATOR),
        leaf("old", new=False),
        leaf("x" * QUESTION + "one"),
        leaf("document", origin=Origin.THIRD_PARTY),
        leaf("two"),
    )
    assert question(asked) == ("x" * QUESTION)[: QUESTION - 7] + "one\ntwo"
    assert question(exchange()) == ""


async def test_no_question_is_no_question() -> None:
    """An exchange without new user text is judged by its answer alone."""
    judge, classifier = await _judge(asked=exchange())
    await judge.step((piece("Good day.", final=True),))
    assert classifier.calls == [("Good day.",)]


async def test_the_profile_s_threshold_counts() -> None:
    """A lower threshold in the terms blocks what the card would let through."""
    judge, _ = await _judge(given=terms(thresholds=[("output_screen", 550)]))
    (judgement,) = await judge.step((piece("near kestrel", final=True),))
    assert judgement.verdict.outcome is Outcome.BLOCK


async def test_text_beyond_every_bound_could_not_be_evaluated() -> None:
    """Should a text need more windows than its length allows, that is said, cause input, and nothing is cleared."""
    classifier = FakeClassifier(card=replace(FAKE_CARD, stride_tokens=1000))
    await classifier.start()
    judge = OutputScreen(classifier).open_answer(exchange("Hello?"), context())
    for one in (piece("w " * 2000), piece("w " * 100, 4000, final=True)):
        (judgement,) = await judge.step((one,))
        verdict = judgement.verdict
        assert (verdict.cause, verdict.reason, judgement.cleared) == (Cause.INPUT, Reason.OVER_BUDGET, 0)


@pytest.mark.parametrize(
    ("mode", "error", "reason"),
    [
        ("raise", ClassifierUnavailable, Reason.CONTROL_UNAVAILABLE),
        ("hang", ClassifierTimeout, Reason.CONTROL_TIMED_OUT),
        ("nonsense", ClassifierInvalid, Reason.CONTROL_NONSENSE),
    ],
)
async def test_a_broken_classifier_fails_closed_in_mid_answer(
    mode: str, error: type[Exception], reason: Reason
) -> None:
    """When the classifier breaks nothing more is cleared without the substitute, which judges the whole answer."""
    classifier = FakeClassifier()
    await classifier.start()
    screen = OutputScreen(classifier)
    for members, outcome, cleared in (
        (("output_screen",), Outcome.COULD_NOT_EVALUATE, 50),
        (("output_screen", "smallest"), Outcome.ALLOW, 50 + CALM_STEP),
    ):
        asked = terms(group(*members, direction=Direction.OUTPUT, deadline_ms=20))
        answer = chain_of(screen, Smallest()).open_answer(exchange("Hello?"), context(asked))
        assert [one.cleared for _, one in (await answer.step((piece("a" * 50),))).judgements] == [50]
        classifier.mode = mode
        ruling = await answer.step((piece("b" * CALM_STEP, 50),))
        assert (ruling.verdict.outcome, [one.cleared for _, one in ruling.judgements]) == (outcome, [cleared])
        assert [failure.reason for failure in ruling.failures] == [reason]
        classifier.mode = "ok"
    classifier.mode = mode
    judge = screen.open_answer(exchange("Hello?"), context(terms(group("output_screen", deadline_ms=20))))
    with pytest.raises(error):
        await judge.step((piece("b" * 100),))


async def test_it_judges_answers_only() -> None:
    """It has one direction, is not inline, judges no inputs, and is as healthy as its classifier."""
    classifier = FakeClassifier()
    screen = OutputScreen(classifier)
    assert (screen.id, screen.directions, screen.inline) == ("output_screen", frozenset({Direction.OUTPUT}), False)
    assert not await screen.healthy()
    await classifier.start()
    assert await screen.healthy()
    with pytest.raises(ControlFault):
        await screen.judge_input(exchange("x"), context())


async def test_a_category_that_the_card_does_not_know_cannot_be_judged() -> None:
    """Opening an answer fails, so that the chain asks the substitute."""
    with pytest.raises(ValueError, match="knows no category"):
        OutputScreen(FakeClassifier(), ("weather",)).open_answer(exchange("x"), context())


async def test_content_key_is_what_the_pieces_say() -> None:
    """A judgement is about the channel that it was asked about."""
    judge, _ = await _judge()
    (judgement,) = await judge.step((piece("x"),))
    assert judgement.key == CONTENT


async def test_scores_are_kept_for_the_caller_alone() -> None:
    """Question and answer are scored in the caller's partition of the classifier's cache."""
    classifier = FakeClassifier()
    await classifier.start()
    given = replace(context(), caller=Caller("key-7", "vetted"))
    await _run(OutputScreen(classifier).open_answer(exchange("Hello?"), given), _words(40), 32)
    assert set(classifier.partitions) == {"key-7"}
