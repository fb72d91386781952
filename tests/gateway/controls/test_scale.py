from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest
from support.control_values import group, terms
from support.fake_classifier import FAKE_CARD, FakeClassifier

from classifiers.base import Card, ClassifierInvalid, Scored, Window
from gateway.controls.scale import Mark, Scale, answers, seconds_for
from gateway.terms import Terms


def _scale(categories: Sequence[str] = ("cbrn",), given: Terms | None = None, card: Card = FAKE_CARD) -> Scale:
    return Scale(card, "screen", categories, given or terms())


def _scored(*windows: tuple[int, int, tuple[float, ...]]) -> Scored:
    return Scored(tuple(Window(*window) for window in windows), 1)


def test_the_most_urgent_window_marks_the_text() -> None:
    """The highest share of a threshold over all windows and chosen categories counts; others are not looked at."""
    scored = _scored((0, 5, (0.1, 0.9)), (3, 9, (0.5, 0.2)))
    assert _scale().mark("x" * 9, scored) == Mark(500, 800, 500, "cbrn")
    assert _scale(()).mark("x" * 9, scored).category == "other_harm"


@pytest.mark.parametrize(
    ("score", "flagged", "wary"), [(0.4994, False, False), (0.5, False, True), (0.7996, True, True)]
)
def test_scores_are_held_against_the_card(score: float, flagged: bool, wary: bool) -> None:
    """Scores are rounded to thousandths, then compared with the card's thresholds."""
    mark = _scale().mark("x", _scored((0, 1, (score, 0.0))))
    assert (mark.flagged, mark.wary) == (flagged, wary)


def test_a_profile_s_threshold_replaces_the_card_s() -> None:
    """The terms' threshold for the control counts; near moves with it in proportion."""
    mark = _scale(given=terms(thresholds=[("screen", 400), ("other", 100)])).nothing
    assert (mark.threshold, mark.near) == (400, 250)


def test_near_is_a_share_where_the_card_states_none() -> None:
    """Without a stated near, 60 % of the threshold; never above the threshold, and zero stays zero."""
    assert _scale(("other_harm",)).nothing.near == 480
    odd = replace(
        FAKE_CARD, thresholds={"cbrn.block": 0.5, "cbrn.near": 0.9, "other_harm.block": 0.0, "other_harm.near": 0.2}
    )
    assert _scale(card=odd).nothing.near == 500
    zero = _scale(("other_harm",), card=odd).nothing
    assert (zero.threshold, zero.near, zero.flagged, zero.urgency) == (0, 0, True, 0.0)


@pytest.mark.parametrize(
    ("categories", "card"),
    [
        (("unknown",), FAKE_CARD),
        ((), replace(FAKE_CARD, categories=())),
        (("cbrn",), replace(FAKE_CARD, thresholds={})),
    ],
)
def test_a_card_that_does_not_fit_is_an_error(categories: tuple[str, ...], card: Card) -> None:
    """An unknown category, none at all, or one without a threshold cannot be judged by."""
    with pytest.raises(ValueError, match="classifier fake"):
        _scale(categories, card=card)


@pytest.mark.parametrize(
    "windows",
    [
        [],
        [(1, 9, (0.1, 0.1))],
        [(0, 3, (0.1, 0.1)), (4, 9, (0.1, 0.1))],
        [(0, 8, (0.1, 0.1))],
        [(0, 9, (0.1,))],
        [(0, 9, (0.1, 0.1, 0.1))],
        [(0, 9, (float("nan"), 0.1))],
        [(0, 9, (0.1, float("inf")))],
        [(0, 9, (1.1, 0.1))],
        [(0, 9, (-0.1, 0.1))],
    ],
)
def test_scores_that_cannot_be_are_invalid(windows: list[tuple[int, int, tuple[float, ...]]]) -> None:
    """Gaps, missing text, a wrong number of scores, and anything but a number in [0, 1] is nonsense."""
    with pytest.raises(ClassifierInvalid):
        _scale().mark("x" * 9, _scored(*windows))


def test_every_text_has_its_result() -> None:
    """A classifier that answers for fewer texts than asked has not judged all of them."""
    scored = _scored((0, 1, (0.3, 0.1)))
    assert [mark.score for mark in _scale().marks(["x", ""], [scored, _scored()])] == [300, 0]
    with pytest.raises(ClassifierInvalid):
        _scale().marks(["x", "y"], [scored])


def test_the_classifier_has_the_group_s_deadline() -> None:
    """The longest deadline of the groups that may ask the control, else two seconds."""
    groups = frozenset({group("a", deadline_ms=100), group("b", "a", deadline_ms=300), group("c", deadline_ms=900)})
    assert seconds_for(groups, "a") == 0.3
    assert seconds_for(groups, "d") == 2.0


async def test_a_classifier_answers_or_not() -> None:
    """Health is a short text scored: a classifier that is not started or raises is not healthy."""
    classifier = FakeClassifier()
    assert not await answers(classifier)
    await classifier.start()
    assert await answers(classifier)
    classifier.mode = "raise"
    assert not await answers(classifier)
