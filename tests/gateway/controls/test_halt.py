from __future__ import annotations

import pytest
from support.control_values import context, exchange, piece, terms

from gateway.controls.halt import Halt
from gateway.exchange import Direction
from gateway.terms import Standing
from gateway.verdict import Outcome, Reason

CASES = [
    (Standing.SERVING, Outcome.ALLOW, Reason.CLEARED, 2),
    (Standing.NOT_ASSESSED, Outcome.BLOCK, Reason.NOT_ASSESSED, 0),
    (Standing.HALTED, Outcome.BLOCK, Reason.SERVING_HALTED, 0),
]


@pytest.mark.parametrize(("standing", "outcome", "reason", "cleared"), CASES)
async def test_the_standing_decides(standing: Standing, outcome: Outcome, reason: Reason, cleared: int) -> None:
    """Only a serving model may be asked and may answer; the others have a reason each."""
    control, given = Halt(), context(terms(standing=standing))
    verdict = await control.judge_input(exchange("x"), given)
    assert (verdict.outcome, verdict.reason, verdict.control) == (outcome, reason, "halt")
    (judgement,) = await control.open_answer(exchange("x"), given).step((piece("ab"),))
    assert (judgement.cleared, judgement.verdict) == (cleared, verdict)


async def test_it_is_inline_and_always_healthy() -> None:
    """It compares a value, so it judges both directions in place and cannot be missing."""
    assert (Halt().inline, Halt().directions, await Halt().healthy()) == (True, frozenset(Direction), True)
