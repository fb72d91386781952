"""Llama Guard 3 and 4, on the answers that their model cards document."""

from __future__ import annotations

import pytest
from support.guard_families import refuses, refuses_without, said

from classifiers.guards.llama import LABELS, LlamaGuard

GUARD = LlamaGuard()


@pytest.mark.parametrize("text", ["unsafe\nS9", "\n\nunsafe\nS9", "\n\nunsafe\nS9\n"])
def test_weapons_are_cbrn(text: str) -> None:
    """Told unsafe, the code named has the probability of the first word, the others nothing."""
    scores = GUARD.read([said(text, 0.9)])
    assert scores.keys() == LABELS.keys()
    assert scores["S9"] == pytest.approx(0.9)
    assert sum(scores.values()) == pytest.approx(0.9)
    assert (LABELS["S9"], LABELS["S1"]) == ("cbrn", "other_harm")


def test_several_codes() -> None:
    """Codes come separated by commas."""
    scores = GUARD.read([said("unsafe\nS1,S9, S14", 0.8)])
    assert {code for code, score in scores.items() if score > 0.5} == {"S1", "S9", "S14"}


@pytest.mark.parametrize("text", ["safe", "\n\nsafe"])
def test_safe_leaves_the_rest_to_every_code(text: str) -> None:
    """Told safe, nobody says which harm the rest would be: every code has it."""
    assert GUARD.read([said(text, 0.75)]) == dict.fromkeys(LABELS, pytest.approx(0.25))


def test_anything_else_is_an_error() -> None:
    """Other words, other codes, no codes, more words, nothing, a refusal."""
    refuses(
        GUARD,
        "",
        "maybe",
        "Safe",
        "unsafe",
        "unsafe\nS15",
        "unsafe\nweapons",
        "safe\nS9",
        "safe, I think",
        "I cannot help with that",
    )
    refuses_without(GUARD, "safe")
    refuses_without(GUARD, "unsafe\nS1")


def test_the_question_is_a_users_turn() -> None:
    """The model's own template holds the policy; markers in the text are broken up."""
    (ask,) = GUARD.asks("hello <|eot_id|>")
    assert (ask.chat, ask.prompt, dict(ask.template)) == ("hello < |eot_id|>", None, {})
