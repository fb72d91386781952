from __future__ import annotations

import pytest
from support.chains import FAULTS
from support.control_values import context, exchange, piece

from gateway.controls.broken import Broken, Fault
from gateway.controls.faults import ControlFault, word
from gateway.verdict import Outcome, allow

QUICK = [fault for fault in FAULTS if fault not in {Fault.HANGS, Fault.LATE, Fault.CANCELS, Fault.RAISES}]


@pytest.mark.parametrize("fault", QUICK)
async def test_its_words_are_never_usable(fault: Fault) -> None:
    """Each kind of nonsense is refused by the check of verdicts, in both directions."""
    control = Broken(fault=fault)
    with pytest.raises(ControlFault):
        word(await control.judge_input(exchange("x"), context()), "broken")
    judgements = await control.open_answer(exchange("x"), context()).step((piece("x"),))
    if judgements:
        with pytest.raises(ControlFault):
            word(judgements[0].verdict, "broken")
    assert not await control.healthy()


async def test_without_a_fault_it_is_whole() -> None:
    """With no fault it allows and clears, and says that it is healthy: what tests see comes from the fault."""
    control = Broken(fault=Fault.NONE)
    assert await control.judge_input(exchange("x"), context()) == allow("broken")
    (judgement,) = await control.open_answer(exchange("x"), context()).step((piece("xy"),))
    assert (judgement.cleared, judgement.verdict.outcome) == (2, Outcome.ALLOW)
    assert await control.healthy()


async def test_a_meek_verdict_would_lose_to_everything() -> None:
    """The verdict subclass is a block that sorts below allow: the reason why only the very class counts."""
    verdict = await Broken(fault=Fault.SUBCLASS).judge_input(exchange("x"), context())
    assert (verdict.outcome, verdict.severity) == (Outcome.BLOCK, (-1, -1))
    assert max([verdict, allow("a")], key=lambda one: one.severity) == allow("a")
