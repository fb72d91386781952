"""Qwen3Guard, on the answers that its model card documents."""

from __future__ import annotations

import pytest
from support.guard_families import refuses, refuses_without, said

from classifiers.guards.qwen import LABELS, Qwen3Guard

GUARD = Qwen3Guard()


def test_a_harmful_prompt() -> None:
    """The card's example: unsafe, violent."""
    scores = GUARD.read([said("Safety: Unsafe\nCategories: Violent\n", 0.9)])
    assert scores["Violent"] == pytest.approx(0.9)
    assert scores["PII"] == 0.0


def test_an_answer_with_a_refusal_line() -> None:
    """The card's example of an answer has a third line."""
    scores = GUARD.read([said("Safety: Safe\nCategories: None\nRefusal: Yes", 0.95)])
    assert scores == dict.fromkeys(LABELS, pytest.approx(0.05))


def test_controversial_counts_as_unsafe() -> None:
    """Strict mode, whichever pieces the word is cut into."""
    scores = GUARD.read([said("Safety: Controversial\nCategories: Unethical Acts, Jailbreak", 0.7)])
    assert scores["Unethical Acts"] == pytest.approx(0.7)
    assert scores["Jailbreak"] == pytest.approx(0.7)


def test_anything_else_is_an_error() -> None:
    """Other verdicts and categories, a verdict at odds with them, missing lines."""
    refuses(
        GUARD,
        "",
        "Safe",
        "Safety: Fine\nCategories: None",
        "Safety: Unsafe",
        "Safety: Unsafe\nCategories: None",
        "Safety: Safe\nCategories: Violent",
        "Safety: Unsafe\nCategories: Weapons",
        "Safety: Safe\nCategories: None\nRefusal: Perhaps",
        "I think: Safety: Safe\nCategories: None",
    )
    refuses_without(GUARD, "Safety: Safe\nCategories: None")


def test_the_question_is_a_users_turn() -> None:
    """The model's own template holds the policy."""
    assert [ask.chat for ask in GUARD.asks("hello")] == ["hello"]
