"""Faults read like compiler messages."""

from __future__ import annotations

from gateway.settings.faults import ConfigInvalid, Fault, closest


def test_a_fault_names_its_place_and_what_was_meant() -> None:
    """file:line:column: key: message, with the guess."""
    fault = Fault("g.yaml", 3, 5, "limits.bdy", "unknown key", "body")
    assert str(fault) == "g.yaml:3:5: limits.bdy: unknown key (did you mean 'body'?)"
    assert str(Fault("environment", 0, 0, "KEY", "is not set")) == "environment: KEY: is not set"
    assert str(Fault("g.yaml", 1, 1, "", "is not YAML")) == "g.yaml:1:1: is not YAML"


def test_all_faults_are_in_the_message() -> None:
    """Nothing is reported one at a time."""
    error = ConfigInvalid([Fault("a", 1, 1, "x", "one"), Fault("b", 2, 2, "y", "two")])
    assert str(error).count("\n") == 1


def test_closest_guesses_or_says_nothing() -> None:
    """A guess is a near word only."""
    assert closest("adress", ["address", "body"]) == "address"
    assert not closest("zzz", ["address"])
