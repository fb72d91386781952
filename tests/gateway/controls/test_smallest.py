from __future__ import annotations

from support.control_values import CONTENT, context, exchange, piece

from gateway.controls.smallest import Clearing, Flagging, Smallest
from gateway.exchange import Direction
from gateway.verdict import Outcome, Reason, Verdict, allow


async def test_the_smallest_control_allows_everything() -> None:
    """It allows under the name it was given, clears all text, and is always healthy."""
    control = Smallest("x", inline=False)
    assert (control.id, control.inline, control.directions) == ("x", False, frozenset(Direction))
    assert await control.judge_input(exchange("anything"), context()) == allow("x")
    (judgement,) = await control.open_answer(exchange("x"), context()).step((piece("ab"), piece("cd", 2)))
    assert (judgement.key, judgement.cleared, judgement.verdict) == (CONTENT, 4, allow("x"))
    assert await control.healthy()


async def test_clearing_and_flagging_are_opposites() -> None:
    """One clears to the end of each channel, the other nothing; each channel is judged once."""
    block = Verdict(Outcome.BLOCK, "x", Reason.RULE_MATCHED)
    pieces = (piece("ab"), piece("cd", 2))
    assert [one.cleared for one in await Clearing(allow("x")).step(pieces)] == [4]
    assert [(one.cleared, one.verdict) for one in await Flagging(block).step(pieces)] == [(0, block)]
