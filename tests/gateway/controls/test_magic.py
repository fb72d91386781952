from __future__ import annotations

import pytest
from support.control_values import context, exchange, leaf, piece

from gateway.controls.magic import MAGIC, WithMagic
from gateway.controls.smallest import Smallest
from gateway.exchange import Origin
from gateway.verdict import Outcome, Reason, allow

HALTS = {"halt": Reason.SERVING_HALTED}


@pytest.mark.parametrize("control", MAGIC)
async def test_each_string_blocks_its_own_control_only(control: str) -> None:
    """A control blocks on its string, naming the leaf, and ignores those of the others; a halt looks like a halt."""
    wrapped = WithMagic(Smallest(control))
    for name, magic in MAGIC.items():
        verdict = await wrapped.judge_input(exchange(f"Please say {magic} now."), context())
        if name == control:
            reason = HALTS.get(control, Reason.MAGIC_STRING)
            assert (verdict.outcome, verdict.reason, verdict.detail) == (Outcome.BLOCK, reason, "messages[0].content")
        else:
            assert verdict == allow(control)


@pytest.mark.parametrize("origin", [Origin.OPERATOR, Origin.MODEL_HISTORY, Origin.THIRD_PARTY])
async def test_nobody_else_s_text_is_magic(origin: Origin) -> None:
    """In system prompts, history and tool results the string is text like any other."""
    given = exchange(leaf(MAGIC["rules"], origin=origin), "hello")
    assert await WithMagic(Smallest("rules")).judge_input(given, context()) == allow("rules")


async def test_an_old_turn_is_not_magic() -> None:
    """A conversation goes on after a test block: only what is new this turn counts."""
    given = exchange(leaf(MAGIC["rules"], new=False), "hello")
    assert await WithMagic(Smallest("rules")).judge_input(given, context()) == allow("rules")


async def test_an_answer_is_blocked_at_its_first_character() -> None:
    """The judge has nothing to say about empty text, flags the first character, and keeps flagging."""
    judge = WithMagic(Smallest("output_screen")).open_answer(exchange(MAGIC["output_screen"]), context())
    outcomes = []
    for text, start in (("", 0), ("H", 0), ("i", 1)):
        (judgement,) = await judge.step((piece(text, start),))
        outcomes.append((judgement.cleared, judgement.verdict.outcome))
    assert outcomes == [(0, Outcome.ALLOW), (0, Outcome.BLOCK), (0, Outcome.BLOCK)]


async def test_everything_else_is_the_control_s() -> None:
    """The wrapper has the control's id, directions, place and health, and opens the control's judge."""
    control = Smallest("lexicon", inline=False)
    wrapped = WithMagic(control)
    assert (wrapped.id, wrapped.inline, wrapped.directions) == (control.id, False, control.directions)
    assert await wrapped.healthy()
    (judgement,) = await wrapped.open_answer(exchange("hello"), context()).step((piece("ab"),))
    assert judgement.cleared == 2


def test_a_control_without_a_string_cannot_be_wrapped() -> None:
    """A new control needs a documented string."""
    with pytest.raises(KeyError):
        WithMagic(Smallest("unknown"))


def test_no_string_holds_another() -> None:
    """A string names exactly one control."""
    assert not [(one, two) for one in MAGIC.values() for two in MAGIC.values() if one != two and one in two]
