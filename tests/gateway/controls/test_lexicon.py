from __future__ import annotations

import pytest
from support.control_conformance import (
    Case,
    blocks_a_harmful_answer,
    clears_a_benign_answer,
    judges_answers_apart,
    judges_inputs,
    keeps_channels_apart,
)
from support.control_values import context, exchange

from gateway.controls.base import Control
from gateway.controls.benign import benign
from gateway.controls.lexicon import LEXICON, LexiconControl
from gateway.controls.matching import LONG, Matcher
from gateway.exchange import Direction
from gateway.text.skeleton import skeleton
from gateway.verdict import Outcome, Reason

HARMLESS = tuple(line for line in benign() if "Smallpox" not in line and "Sarin" not in line)


@pytest.mark.parametrize("mention", ["nerve agents", "ｎｅｒｖｅ а-gеnt", "a dirty bomb", "SARIN", "weaponise"])
async def test_the_lexicon_does_what_controls_do(mention: str) -> None:
    """The conformance suite of controls, for long and short names and a disguise."""
    control, question, answer = (
        LexiconControl(),
        exchange(f"What about {mention}?"),
        f"They spoke of {mention}, at last.",
    )
    case = Case(
        control, context(), exchange("Good day."), question, " ".join(HARMLESS[:30]), answer, context(), exchange("x")
    )
    for size in (1, 4, 5000):
        await clears_a_benign_answer(case, size)
        await blocks_a_harmful_answer(case, size)
    await judges_inputs(case)
    await keeps_channels_apart(case)
    await judges_answers_apart(case)


async def test_it_blocks_whatever_is_in_force() -> None:
    """It needs no rules of a snapshot, and says that it was the lexicon."""
    control: Control = LexiconControl()
    verdict = await control.judge_input(exchange("the history of uranium enrichment"), context())
    assert (control.id, control.directions, control.inline) == ("lexicon", frozenset(Direction), True)
    assert (verdict.outcome, verdict.reason, verdict.category) == (Outcome.BLOCK, Reason.LEXICON_MATCHED, "cbrn")


def test_every_phrase_is_long_enough_for_lossy_views() -> None:
    """Phrases have at least ten letters; shorter names are whole-word patterns."""
    for rule in LEXICON.rules:
        assert len(skeleton(rule.literal)) >= LONG if rule.literal else str(rule.pattern).startswith(r"\b")
    assert len({rule.id for rule in LEXICON.rules}) == len(LEXICON.rules)


def test_it_is_crude_but_not_blind() -> None:
    """Of the harmless sentences, many of them on neighbouring subjects, only the two that name an agent are hit."""
    matcher = Matcher(LEXICON)
    assert [line for line in benign() if matcher.in_text(line)] == [line for line in benign() if line not in HARMLESS]


def test_it_holds_answers_back_by_a_few_words_only() -> None:
    """The longest pattern stays below the hold-back that a benign stream may have."""
    patterns = Matcher(LEXICON).stream.patterns
    assert patterns is not None
    assert patterns.span < 60
