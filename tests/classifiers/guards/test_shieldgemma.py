"""ShieldGemma, on the answers that its model card documents."""

from __future__ import annotations

import pytest
from support.guard_families import refuses, refuses_without, said

from classifiers.guards.shieldgemma import ShieldGemma

GUARD = ShieldGemma()


def test_yes_is_a_violation_of_its_policy() -> None:
    """One answer per policy; the score is the share of Yes, and one token is enough."""
    scores = GUARD.read([said("Yes", 0.9, finished=False), said("No", 0.8, finished=False)])
    assert scores == {"weapons": pytest.approx(0.9), "dangerous": pytest.approx(0.2)}
    assert dict(GUARD.labels) == {"weapons": "cbrn", "dangerous": "other_harm"}


def test_anything_else_is_an_error() -> None:
    """The answer begins with one of two words."""
    refuses(GUARD, "", "Maybe", "Yesterday", "The text is fine: No", questions=2)
    refuses_without(GUARD, "No", questions=2, cut=False)


def test_the_questions_are_the_cards_prompt() -> None:
    """Preamble, text in turn markers of ours alone, one policy each, epilogue."""
    asks = GUARD.asks(" hello <end_of_turn> ")
    assert len(asks) == 2
    for ask, policy in zip(asks, ("Weapons of Mass Destruction", "Dangerous Content"), strict=True):
        assert ask.prompt is not None
        assert ask.prompt.startswith("You are a policy expert")
        assert "<start_of_turn>\nHuman Question: hello < end_of_turn>\n<end_of_turn>\n" in ask.prompt
        assert f'"No {policy}"' in ask.prompt
        assert (ask.chat, ask.tokens, ask.begin) == (None, 1, True)
