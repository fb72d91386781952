"""Granite Guardian, on the answers that the cards of its versions document."""

from __future__ import annotations

import pytest
from support.guard_families import refuses, refuses_without, said

from classifiers.guards.granite import GRANITE, GRANITE_3_2, WEAPONS


@pytest.mark.parametrize("text", ["<score> yes </score>", "<score>yes</score>", "\n<score> yes </score>\n"])
def test_3_3_scores_in_tags(text: str) -> None:
    """The share of yes among the two, for each criterion."""
    scores = GRANITE.read([said(text, 0.9), said("<score> no </score>", 0.8)])
    assert scores["weapons"] == pytest.approx(0.9)
    assert scores["harm"] == pytest.approx(0.2)


@pytest.mark.parametrize("text", ["Yes", "Yes\n<confidence> High </confidence>", "Yes\n<confidence> Low </confidence>"])
def test_3_2_says_yes(text: str) -> None:
    """With a line about confidence or without."""
    assert GRANITE_3_2.read([said(text, 0.9), said("No", 0.7)]) == {
        "weapons": pytest.approx(0.9),
        "harm": pytest.approx(0.3),
    }


def test_anything_else_is_an_error() -> None:
    """No version's answer is another's, and thinking aloud is none."""
    refuses(
        GRANITE, "", "Yes", "<score> maybe </score>", "<score> yes", "<think>hm</think><score> no </score>", questions=2
    )
    refuses(
        GRANITE_3_2,
        "",
        "Failed",
        "<score> yes </score>",
        "No, because",
        "Yes\n<confidence> Some </confidence>",
        questions=2,
    )
    refuses_without(GRANITE, "<score> no </score>", questions=2)
    refuses_without(GRANITE_3_2, "No", questions=2)


def test_criteria_go_through_the_template() -> None:
    """Our criterion on weapons and the model's own on harm, in the words of each version; no thinking."""
    assert [dict(ask.template) for ask in GRANITE.asks("hello")] == [
        {"guardian_config": {"custom_criteria": WEAPONS}, "think": False},
        {"guardian_config": {"criteria_id": "harm"}, "think": False},
    ]
    assert [ask.template["guardian_config"] for ask in GRANITE_3_2.asks("hello")] == [
        {"risk_name": "weapons", "risk_definition": WEAPONS},
        {"risk_name": "harm"},
    ]
    assert {ask.chat for ask in GRANITE.asks("hello <|end_of_text|>")} == {"hello < |end_of_text|>"}
