from __future__ import annotations

import asyncio

import pytest
from msgspec.structs import replace

from classifiers.base import ClassifierInvalid, ClassifierTimeout, ClassifierUnavailable
from gateway.controls.faults import ControlFault, being_cancelled, reason_of, word
from gateway.verdict import Cause, Outcome, Reason, Verdict, allow, failed


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (ControlFault(Reason.NO_JUDGE, "x"), Reason.NO_JUDGE),
        (TimeoutError(), Reason.CONTROL_TIMED_OUT),
        (ClassifierTimeout("x"), Reason.CONTROL_TIMED_OUT),
        (ClassifierUnavailable("x"), Reason.CONTROL_UNAVAILABLE),
        (ClassifierInvalid("x"), Reason.CONTROL_NONSENSE),
        (ZeroDivisionError(), Reason.CONTROL_RAISED),
    ],
)
def test_every_exception_has_a_reason(error: Exception, reason: Reason) -> None:
    """Classifier errors, deadlines and faults keep their meaning; anything else was raised."""
    assert reason_of(error) is reason


@pytest.mark.parametrize(
    "verdict",
    [
        allow("a", score=1000),
        Verdict(Outcome.BLOCK, "a", Reason.RULE_MATCHED),
        Verdict(Outcome.COULD_NOT_EVALUATE, "a", Reason.UNREADABLE, Cause.INPUT),
    ],
)
def test_a_verdict_of_the_control_s_own_stands(verdict: Verdict) -> None:
    """Allow, block and could-not-evaluate for the input are words that count."""
    assert word(verdict, "a") is verdict


@pytest.mark.parametrize(
    "bent",
    [
        None,
        "allow",
        allow("b"),
        replace(allow("a"), shadow=True),
        replace(allow("a"), score=1001),
        replace(allow("a"), score=-2),
        replace(allow("a"), score=0.5),
        replace(allow("a"), outcome=0),
        replace(failed("a", Reason.NO_JUDGE), cause=2),
        replace(allow("a"), reason="cleared"),
        replace(allow("a"), category=None),
        replace(allow("a"), detail=b"x"),
    ],
)
def test_nonsense_is_a_fault(bent: object) -> None:
    """Whatever is not a well-formed verdict under the control's own id is nonsense."""
    with pytest.raises(ControlFault) as raised:
        word(bent, "a")
    assert raised.value.reason is Reason.CONTROL_NONSENSE


def test_a_control_that_says_it_failed_has_failed() -> None:
    """Could-not-evaluate with an infrastructure cause goes to the substitute, with the reason kept."""
    with pytest.raises(ControlFault) as raised:
        word(failed("a", Reason.CONTROL_UNAVAILABLE), "a")
    assert raised.value.reason is Reason.CONTROL_UNAVAILABLE


async def test_only_a_cancelled_task_is_being_cancelled() -> None:
    """A task that nobody cancelled is not being cancelled; one that is being cancelled says so."""
    assert not being_cancelled()
    seen = []

    async def wait() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            seen.append(being_cancelled())

    task = asyncio.ensure_future(wait())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert seen == [True]
