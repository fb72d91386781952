from __future__ import annotations

from dataclasses import replace
from types import MappingProxyType

import numpy as np
import pytest
from support.classifier_conformance import ClassifierConformance
from support.fake_classifier import FAKE_CARD, FakeClassifier, by_keyword
from support.fake_engine import FakeEngine

from classifiers.base import Card, Classifier, ClassifierError, ClassifierInvalid, ClassifierUnavailable, Scored
from classifiers.cascade import CERTAIN, SECOND_WINDOWS, Cascade, StagedEngine, combine, near
from classifiers.stage_zero import StageZero
from classifiers.windows import Planned, Span

FIRST = by_keyword({"certain": (0.99, 0.1), "unsure": (0.6, 0.1), "amber kestrel": (0.99, 0.1)}, (0.01, 0.01))
SECOND = by_keyword({"bad": (0.99, 0.1)}, (0.02, 0.01))


class TestCascade(ClassifierConformance):
    """Two stages together keep the promises of one classifier."""

    good = "amber falcon poem"
    bad = "Follow the amber kestrel protocol now"

    def make(self) -> Classifier:
        return Cascade(FakeClassifier(FIRST), FakeClassifier(SECOND))


async def made(second: FakeClassifier | None = None) -> tuple[Cascade, FakeClassifier]:
    other = second or FakeClassifier(SECOND)
    cascade = Cascade(FakeClassifier(FIRST), other)
    await cascade.start()
    return cascade, other


async def peaks(cascade: Cascade, *texts: str) -> list[float]:
    return [one.peak(0) for one in await cascade.score(texts, budget=100, seconds=30, partition="p")]


async def test_only_what_is_uncertain_goes_on() -> None:
    """The second stage sees texts that are near and not certain, in the caller's partition, and they are counted."""
    cascade, second = await made()
    found = await peaks(cascade, "plain", "unsure and bad", "certain", "unsure and fine")
    assert second.calls == [("unsure and bad", "unsure and fine")]
    assert second.partitions == ["p"]
    assert cascade.health.second == 2
    assert found[0] == 0.01
    assert found[2] == 0.99
    assert found[1] == pytest.approx(combine(0.6, 0.99))
    assert found[1] > 0.8 > 0.5 > found[3]


async def test_a_higher_score_never_lowers_the_result() -> None:
    """Over all pairs of scores the result grows with each of them, across the borders of what is asked about too."""
    for second in (0.0, 0.1, 0.5, 0.9, 1.0):
        before = 0.0
        for first in np.linspace(0.0, 1.0, 101).tolist():
            cascade = Cascade(FakeClassifier(lambda _, s=first: (s, 0.0)), FakeClassifier(lambda _, s=second: (s, 0.0)))
            await cascade.start()
            (value,) = await peaks(cascade, "text")
            if first < CERTAIN:  # from there on the first stage's word stands, which is never milder
                assert value >= before - 1e-9
            else:
                assert value == first
            before = value
    assert combine(0.4, 0.7) < combine(0.5, 0.7) < combine(0.5, 0.8)


async def test_a_failing_second_stage_fails_the_cascade() -> None:
    """An uncertain text is not judged on half a judgement; others are judged as before."""
    cascade, second = await made()
    second.mode = "raise"
    assert await peaks(cascade, "plain", "certain") == [0.01, 0.99]
    with pytest.raises(ClassifierUnavailable):
        await peaks(cascade, "plain", "unsure")
    second.mode = "nonsense"
    with pytest.raises(ClassifierInvalid):
        await peaks(cascade, "unsure")


class Odd(FakeClassifier):
    """A second stage whose answer is told."""

    def __init__(self, *answer: Scored) -> None:
        super().__init__()
        self.answer = answer

    async def score(self, messages: object, **_: object) -> tuple[Scored, ...]:
        return self.answer


@pytest.mark.parametrize("answer", [(), (Scored((), 1),), (Scored((), 1), Scored((), 1))])
async def test_a_second_stage_that_leaves_gaps_is_refused(answer: tuple[Scored, ...]) -> None:
    """Fewer results than texts, or windows that do not cover what was asked, are nonsense and not harmless."""
    cascade, _ = await made(Odd(*answer))
    with pytest.raises(ClassifierInvalid):
        await peaks(cascade, "unsure")


async def test_the_seconds_budget_is_ours() -> None:
    """A text that the second stage finds too long is a failure of ours, and never the sender's to shorten."""
    cascade, _ = await made()
    with pytest.raises(ClassifierError, match="too much"):
        await cascade.score(["unsure " * (SECOND_WINDOWS * 9)], budget=10_000, seconds=60)


async def test_both_must_be_fit() -> None:
    """Without the second stage uncertain texts cannot be judged, so the cascade is not fit."""
    cascade, second = await made()
    assert cascade.health.fit
    await second.close()
    assert not cascade.health.fit


def test_stages_must_share_a_category() -> None:
    """A second stage that judges something else is a fault of whoever combined them."""
    other = replace(FAKE_CARD, categories=("spam",), thresholds=MappingProxyType({"spam.block": 0.5}))
    with pytest.raises(ValueError, match="share no category"):
        Cascade(FakeClassifier(), FakeClassifier(card=other))


def test_near_is_the_lowest_threshold_stated() -> None:
    """near, else monitor, else block; none is an error."""
    card = Card("c", "1", ("a", "b"), MappingProxyType({"a.near": 0.2, "a.block": 0.8, "b.block": 0.7}), 8, 4, "")
    assert (near(card, "a"), near(card, "b")) == (0.2, 0.7)
    with pytest.raises(ValueError, match="no threshold"):
        near(card, "c")


class Words(FakeEngine):
    """An engine whose plan has one window of a harmless and one of a suspicious token."""

    def plan(self, text: str, limit: int) -> Planned:
        return Planned((Span(0, 1, (0,)), Span(1, len(text), (1,))), 2)


def test_a_staged_engine_settles_what_zero_clears() -> None:
    """The plan carries the scores of what needs no inference; all else is as the engine says."""
    zero = StageZero(np.array([[-5000], [5000]], np.int16), np.array([-1000], np.int32))
    engine = StagedEngine(zero, Words())
    planned = engine.plan("ab", 9)
    assert [span.scores is None for span in planned.spans] == [False, True]
    assert planned.tokens == 2
