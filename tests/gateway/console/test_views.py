"""What is shown of the policy, and the rows of what people change."""

from __future__ import annotations

import pytest
from support.policies import brake, snapshot

from gateway.console import views
from gateway.console.problems import Problem
from gateway.exchange import Direction
from gateway.policy.changes import Actor
from gateway.terms import Level, Rule


def rule(identity: str) -> Rule:
    """A rule."""
    return Rule(identity, "cbrn", frozenset(Direction), "amber kestrel protocol", None, 0, "r")


def test_a_model_is_shown_with_record_and_brakes() -> None:
    """The level in force is the brake's while it is open; the record stays the record."""
    found = views.model(snapshot(3, brakes=(brake(5),)).entries["demo-model"], unattested=True)
    assert (found["in_force"], found["standing"], found["record"]["level"]) == ("asl-5", "halted", "asl-3")
    assert found["brakes"] == [
        {"id": "b-1", "model": "demo-model", "level": "asl-5", "owner": "somebody", "reason": "incident", "opened": 1}
    ]
    assert found["unattested"] is True


@pytest.mark.parametrize("number", [1, 2, 3, 4, 5])
def test_levels_are_read(number: int) -> None:
    """Both standards of a level are meant."""
    assert views.level(f"asl-{number}") == Level.both(number)


@pytest.mark.parametrize("text", ["asl-0", "asl-6", "ASL-3", "3", "", " asl-3", "asl-3\n", "asl-٣", None, 3, ["asl-3"]])
def test_what_is_not_a_level_is_refused(text: object) -> None:
    """Nothing is guessed."""
    with pytest.raises(Problem) as caught:
        views.level(text)
    assert (caught.value.status, caught.value.code) == (422, "invalid_level")


def test_rules_are_listed_once_and_in_order() -> None:
    """A rule that is in several sets is one rule."""
    found = views.rules_of(snapshot(3, rules=(rule("b"), rule("a"))))
    assert [one.id for one in found] == ["a", "b"]


def test_rows_say_who_and_why() -> None:
    """Every act has an owner and a reason; a release says that it is unattested."""
    raised = views.brake_row("raise", brake(5))
    assert raised == {
        "act": "raise",
        "id": "b-1",
        "model": "demo-model",
        "level": "asl-5",
        "owner": "somebody",
        "reason": "incident",
    }
    released = views.release_row("m", (brake(4), brake(5, identity="b-2")), Actor("o", "r", 1), unattested=True)
    assert (released["act"], released["id"], released["unattested"]) == ("release", "b-1,b-2", 1)
    assert views.rule_row("rule_added", "rr-1", "r")["id"] == "rr-1"
