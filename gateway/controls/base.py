"""What a control is: it turns an exchange, or the growing answer to one, into verdicts.

A control knows no wire format, no upstream and no policy; what is in force comes in ``Context``.
Failures are exceptions: the chain turns anything a control raises, and any deadline it misses, into could-not-evaluate.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from gateway.exchange import Caller, Direction, Exchange, Piece
from gateway.terms import Terms
from gateway.verdict import Judgement, Verdict

# Piece and Judgement stand beside the values they are made of, since screening uses them and may not import controls.
__all__ = ["AnswerJudge", "Context", "Control", "Judgement", "Piece"]


@dataclass(frozen=True, slots=True)
class Context:
    """What a control may know besides the exchange."""

    caller: Caller
    terms: Terms
    decision_id: str
    now: int  # wall clock, epoch seconds; for expiry of rules


class AnswerJudge(Protocol):
    """Judges one answer. Keeps what it needs of the text seen; the work of a step does not grow with the answer."""

    async def step(self, pieces: tuple[Piece, ...]) -> tuple[Judgement, ...]:
        """Judge new text; one judgement per channel named in ``pieces``. Pieces of one channel come in order, never concurrently."""


class Control(Protocol):
    """One control. ``inline`` controls answer within a fraction of a millisecond and are awaited in place; others run as tasks."""

    @property
    def id(self) -> str: ...

    @property
    def directions(self) -> frozenset[Direction]: ...

    @property
    def inline(self) -> bool: ...

    async def judge_input(self, exchange: Exchange, context: Context) -> Verdict:
        """Judge a request. May raise: the chain records it as could-not-evaluate and asks the substitute."""

    def open_answer(self, exchange: Exchange, context: Context) -> AnswerJudge:
        """A judge for the answer to this exchange."""

    async def healthy(self) -> bool:
        """Whether the control could judge now; readiness asks, requests do not."""
