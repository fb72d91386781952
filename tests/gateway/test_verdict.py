"""Three verdicts and one order (design rule 2)."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.verdict import Cause, Outcome, Reason, Verdict, allow, failed, worst

# From the mildest to the most severe.
LADDER = (
    allow("c"),
    failed("c", Reason.CONTROL_RAISED),
    Verdict(Outcome.COULD_NOT_EVALUATE, "c", Reason.UNREADABLE, Cause.INPUT),
    Verdict(Outcome.BLOCK, "c", Reason.RULE_MATCHED),
)


@st.composite
def verdicts(draw: st.DrawFn) -> Verdict:
    """Any verdict of any control, in shadow or not."""
    rung = draw(st.sampled_from(LADDER))
    return Verdict(rung.outcome, draw(st.sampled_from("abc")), rung.reason, rung.cause, shadow=draw(st.booleans()))


def test_the_order_of_severity() -> None:
    """Block beats could-not-evaluate beats allow; what the sender did outweighs what failed of ours."""
    for milder, harder in pairwise(LADDER):
        assert milder.severity < harder.severity
        assert worst([milder, harder]) is worst([harder, milder]) is harder


@given(st.lists(verdicts()))
def test_the_worst_counts(found: list[Verdict]) -> None:
    """Nothing that counts is more severe than the worst, shadow verdicts never change it, and nobody deciding is an error."""
    counting = [verdict for verdict in found if not verdict.shadow]
    if not counting:
        with pytest.raises(ValueError, match="nobody decided"):
            worst(found)
        return
    chosen = worst(found)
    assert chosen in counting
    assert all(verdict.severity <= chosen.severity for verdict in counting)
    assert worst(counting) is chosen


@given(st.lists(verdicts(), min_size=1), st.randoms(use_true_random=False))
def test_the_order_of_controls_does_not_decide(found: list[Verdict], random: object) -> None:
    """However the verdicts come in, the severity of the worst is the same."""
    shuffled = sorted(found, key=lambda _: random.random())  # type: ignore[attr-defined]  # hypothesis' own Random
    if all(verdict.shadow for verdict in found):
        return
    assert worst(found).severity == worst(shuffled).severity


@given(st.lists(verdicts().filter(lambda verdict: not verdict.shadow), min_size=1), st.integers(0, 9))
def test_one_more_check_never_makes_it_milder(found: list[Verdict], place: int) -> None:
    """Adding a verdict, wherever, leaves the worst as severe or makes it more so."""
    for more in LADDER:
        extended = [*found[:place], more, *found[place:]]
        assert worst(extended).severity >= max(worst(found).severity, more.severity)


def test_the_first_of_equals_is_named() -> None:
    """Of two equally severe verdicts the first control is the one on record."""
    assert worst([allow("a"), failed("b", Reason.NO_JUDGE), failed("c", Reason.NO_JUDGE)]).control == "b"


@pytest.mark.parametrize(
    ("outcome", "cause"),
    [
        (Outcome.ALLOW, Cause.INFRASTRUCTURE),
        (Outcome.ALLOW, Cause.INPUT),
        (Outcome.BLOCK, Cause.INPUT),
        (Outcome.BLOCK, Cause.INFRASTRUCTURE),
        (Outcome.COULD_NOT_EVALUATE, Cause.NONE),
    ],
)
def test_a_cause_belongs_to_could_not_evaluate(outcome: Outcome, cause: Cause) -> None:
    """A failure without its cause, or a cause on a decision, cannot be written down."""
    with pytest.raises(ValueError):
        Verdict(outcome, "c", cause=cause)


def test_the_short_ways_to_say_it() -> None:
    """``allow`` is cleared, with a score where there is one; ``failed`` is our own doing."""
    assert allow("c") == Verdict(Outcome.ALLOW, "c", Reason.CLEARED)
    assert allow("c", score=12).score == 12
    broken = failed("c", Reason.CONTROL_TIMED_OUT, "500 ms")
    assert (broken.outcome, broken.cause) == (Outcome.COULD_NOT_EVALUATE, Cause.INFRASTRUCTURE)
    assert (broken.reason, broken.detail) == (Reason.CONTROL_TIMED_OUT, "500 ms")


def test_reasons_are_stable_slugs() -> None:
    """Ledger, metrics and logs share the slugs; each is its name in lower case."""
    assert all(reason.value == reason.name.lower() for reason in Reason)
