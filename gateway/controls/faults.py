"""How a control's failure is named, in one place: an exception, a missed deadline or nonsense becomes a ``Reason``.

Everything that comes out of a control is checked here before it counts, since a control may be broken in any way.
"""

from __future__ import annotations

import asyncio

from classifiers.base import ClassifierInvalid, ClassifierTimeout, ClassifierUnavailable
from gateway.verdict import Cause, Outcome, Reason, Verdict


class ControlFault(Exception):
    """A control cannot judge, and why; the chain asks the substitute."""

    def __init__(self, reason: Reason, message: str) -> None:
        super().__init__(message)
        self.reason = reason


def reason_of(error: Exception) -> Reason:
    """The reason slug for what a control raised."""
    if isinstance(error, ControlFault):
        return error.reason
    if isinstance(error, TimeoutError | ClassifierTimeout):
        return Reason.CONTROL_TIMED_OUT
    if isinstance(error, ClassifierUnavailable):
        return Reason.CONTROL_UNAVAILABLE
    if isinstance(error, ClassifierInvalid):
        return Reason.CONTROL_NONSENSE
    return Reason.CONTROL_RAISED


def word(verdict: object, control: str) -> Verdict:
    """The verdict, if it is one that ``control`` may give.

    Raises ControlFault: for anything else than a well-formed verdict under the control's own id (a subclass could order
    itself as it likes, and only the chain marks shadow verdicts), and for a failure that the control declares itself.
    """
    # ``type(...) is`` and not isinstance: see above.
    if type(verdict) is not Verdict or not _well_formed(verdict) or verdict.control != control or verdict.shadow:
        raise ControlFault(Reason.CONTROL_NONSENSE, f"{control} did not answer with a verdict of its own")
    if verdict.cause is Cause.INFRASTRUCTURE:
        raise ControlFault(verdict.reason, f"{control} says that it failed")
    return verdict


def _well_formed(verdict: Verdict) -> bool:
    """Whether the fields hold what their types say; a frozen dataclass does not check that."""
    return (
        type(verdict.outcome) is Outcome
        and type(verdict.cause) is Cause
        and type(verdict.reason) is Reason
        and type(verdict.score) is int
        and -1 <= verdict.score <= 1000
        and type(verdict.control) is type(verdict.category) is type(verdict.detail) is str
    )


def being_cancelled() -> bool:
    """Whether somebody wants the running task to stop, as opposed to a control that leaks a cancellation of its own."""
    task = asyncio.current_task()
    return task is None or task.cancelling() > 0
