"""Three verdicts, one order. Block beats could-not-evaluate beats allow; a shadow control never changes a verdict (design rule 2)."""

from __future__ import annotations

from collections.abc import Iterable
from enum import IntEnum, StrEnum

from msgspec import Struct

from gateway.exchange import ChannelKey


class Outcome(IntEnum):
    """What a control says, in order of severity."""

    ALLOW = 0
    COULD_NOT_EVALUATE = 1
    BLOCK = 2


class Cause(IntEnum):
    """Why a control could not evaluate. The sender's doing outweighs ours: it is answered like a block and never retryable."""

    NONE = 0
    INFRASTRUCTURE = 1
    INPUT = 2


class Reason(StrEnum):
    """Stable slugs of every decision, shared by ledger, metrics and logs; clients get a coarser category."""

    CLEARED = "cleared"
    RULE_MATCHED = "rule_matched"
    LEXICON_MATCHED = "lexicon_matched"
    CLASSIFIER_FLAGGED = "classifier_flagged"
    MAGIC_STRING = "magic_string"
    SERVING_HALTED = "serving_halted"
    NOT_ASSESSED = "not_assessed"
    OVER_BUDGET = "over_budget"
    UNREADABLE = "unreadable"
    CONTROL_RAISED = "control_raised"
    CONTROL_TIMED_OUT = "control_timed_out"
    CONTROL_NONSENSE = "control_nonsense"
    CONTROL_UNAVAILABLE = "control_unavailable"
    NO_JUDGE = "no_judge"


class Verdict(Struct, frozen=True, gc=False):
    """One control's word on one exchange. ``score`` in thousandths (ledger rows hold integers only), -1 where there is none."""

    outcome: Outcome
    control: str
    reason: Reason = Reason.CLEARED
    cause: Cause = Cause.NONE
    category: str = "none"
    detail: str = ""  # a rule id or a leaf path; never prompt text
    score: int = -1
    shadow: bool = False

    def __post_init__(self) -> None:
        """A cause belongs to could-not-evaluate, and only to it."""
        if (self.outcome is Outcome.COULD_NOT_EVALUATE) != (self.cause is not Cause.NONE):
            raise ValueError(f"{self.outcome.name} with cause {self.cause.name}")

    @property
    def severity(self) -> tuple[int, int]:
        """The order in which verdicts beat each other."""
        return (self.outcome, self.cause)


class Judgement(Struct, frozen=True, gc=False):
    """A judge's word on a channel: every character before ``cleared`` may leave, as far as this judge is concerned.

    ``cleared`` is a character offset in the channel, never beyond the text seen, never smaller than before.
    """

    key: ChannelKey
    cleared: int
    verdict: Verdict


def allow(control: str, *, score: int = -1) -> Verdict:
    """The plain allow of one control."""
    return Verdict(Outcome.ALLOW, control, score=score)


def failed(control: str, reason: Reason, detail: str = "") -> Verdict:
    """A control of ours failed: could not evaluate, infrastructure."""
    return Verdict(Outcome.COULD_NOT_EVALUATE, control, reason, Cause.INFRASTRUCTURE, detail=detail)


def worst(verdicts: Iterable[Verdict]) -> Verdict:
    """The most severe verdict that counts; the first of equals. Shadow verdicts do not count.

    Raises ValueError when none counts: an empty list of checks is an error, never a pass.
    """
    counting = [verdict for verdict in verdicts if not verdict.shadow]
    if len(counting) == 1:
        return counting[0]
    if not counting:
        raise ValueError("no verdict: nobody decided")
    return max(counting, key=lambda verdict: verdict.severity)
