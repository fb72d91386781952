"""Whether the model may serve at all: the control of ASL-5, and of levels whose controls do not exist yet."""

from __future__ import annotations

from typing import Final

from gateway.controls.base import AnswerJudge, Context
from gateway.controls.smallest import Clearing, Flagging
from gateway.exchange import Direction, Exchange
from gateway.terms import Standing
from gateway.verdict import Outcome, Reason, Verdict, allow

ID: Final = "halt"
REASONS: Final = {Standing.HALTED: Reason.SERVING_HALTED, Standing.NOT_ASSESSED: Reason.NOT_ASSESSED}


class Halt:
    """Allows where the terms' standing is SERVING, blocks everywhere else."""

    @property
    def id(self) -> str:
        """``halt``."""
        return ID

    @property
    def directions(self) -> frozenset[Direction]:
        """Both: an answer in flight is opened anew under the terms that halt it."""
        return frozenset(Direction)

    @property
    def inline(self) -> bool:
        """A comparison."""
        return True

    async def judge_input(self, exchange: Exchange, context: Context) -> Verdict:
        """Judge the terms; the text does not matter."""
        return _verdict(context)

    def open_answer(self, exchange: Exchange, context: Context) -> AnswerJudge:
        """A judge that clears all, or nothing, by the terms at this moment."""
        verdict = _verdict(context)
        return Clearing(verdict) if verdict.outcome is Outcome.ALLOW else Flagging(verdict)

    async def healthy(self) -> bool:
        """Always: nothing can be missing."""
        return True


def _verdict(context: Context) -> Verdict:
    standing = context.terms.standing
    if standing is Standing.SERVING:
        return allow(ID)
    return Verdict(Outcome.BLOCK, ID, REASONS[standing])
