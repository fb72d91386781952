"""A control that is broken on purpose, in every way a control can be. Tests run the chain on it; no profile may name it."""

from __future__ import annotations

import asyncio
from enum import StrEnum
from typing import Any

from msgspec.structs import replace

from gateway.controls.base import AnswerJudge, Context
from gateway.controls.smallest import Smallest
from gateway.exchange import Exchange, Piece
from gateway.verdict import Cause, Judgement, Outcome, Verdict


class Fault(StrEnum):
    """One way to be broken."""

    NONE = "none"
    RAISES = "raises"
    HANGS = "hangs"
    LATE = "late"  # catches its cancellation and answers after all
    CANCELS = "cancels"  # a cancellation of something inside leaks out
    NOTHING = "nothing"  # answers None
    ANOTHER = "another"  # speaks for another control
    SHADOW = "shadow"  # says that its word does not count
    MALFORMED = "malformed"  # a verdict whose fields hold something else
    SUBCLASS = "subclass"  # a verdict that orders itself


class _Meek(Verdict, frozen=True, gc=False):
    """Never severe."""

    @property
    def severity(self) -> tuple[int, int]:
        return (-1, -1)


class Broken(Smallest):
    """Allows and clears everything while ``fault`` is NONE; it may be changed at any time, also in the middle of an answer."""

    def __init__(self, name: str = "broken", fault: Fault = Fault.RAISES, *, inline: bool = False) -> None:
        super().__init__(name, inline=inline)
        self.fault = fault
        self.asked = 0

    async def judge_input(self, exchange: Exchange, context: Context) -> Verdict:
        """Allow, as far as the fault lets it."""
        spoilt: Verdict = await self.spoil(await super().judge_input(exchange, context))
        return spoilt

    def open_answer(self, exchange: Exchange, context: Context) -> AnswerJudge:
        """A judge with this control's fault."""
        return _BrokenJudge(self, super().open_answer(exchange, context))

    async def spoil(self, verdict: Verdict) -> Any:
        """What comes out instead of ``verdict``."""
        self.asked += 1
        match self.fault:
            case Fault.RAISES:
                raise RuntimeError("broken on purpose")
            case Fault.HANGS:
                await asyncio.Event().wait()
            case Fault.LATE:
                await _outlive()
            case Fault.CANCELS:
                raise asyncio.CancelledError
            case Fault.NOTHING:
                return None
            case _:
                return _bent(verdict, self.fault)
        return verdict

    async def healthy(self) -> bool:
        """While nothing is wrong with it."""
        return self.fault is Fault.NONE


class _BrokenJudge:
    def __init__(self, control: Broken, judge: AnswerJudge) -> None:
        self._control = control
        self._judge = judge

    async def step(self, pieces: tuple[Piece, ...]) -> tuple[Judgement, ...]:
        judgements = await self._judge.step(pieces)
        spoilt: Any = [await self._control.spoil(judgement.verdict) for judgement in judgements]
        if self._control.fault is Fault.NOTHING:
            return ()
        return tuple(replace(one, verdict=verdict) for one, verdict in zip(judgements, spoilt, strict=True))


def _bent(verdict: Verdict, fault: Fault) -> Verdict:
    """A verdict that is not one."""
    match fault:
        case Fault.ANOTHER:
            return replace(verdict, control=f"not-{verdict.control}")
        case Fault.SHADOW:
            return replace(verdict, shadow=True)
        case Fault.MALFORMED:
            return replace(verdict, score=5000)
        case Fault.SUBCLASS:
            return _Meek(Outcome.BLOCK, verdict.control, cause=Cause.NONE)
        case _:
            return verdict


async def _outlive() -> None:
    try:
        await asyncio.Event().wait()
    except asyncio.CancelledError:
        return
