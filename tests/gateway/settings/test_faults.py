"""Faults: one line each, with place and suggestion."""

from __future__ import annotations

from gateway.settings.faults import ConfigInvalid, Fault, closest


def test_a_fault_says_where_what_and_what_was_meant() -> None:
    """File, line and column come first, then key, message and suggestion."""
    fault = Fault("g.yaml", 7, 3, "limits.bdy", "unknown key", "body")
    assert str(fault) == "g.yaml:7:3: limits.bdy: unknown key (did you mean 'body'?)"


def test_a_fault_without_a_place_names_its_source_only() -> None:
    """A flag or a variable has no line."""
    assert str(Fault("--asl", 0, 0, "", "is missing")) == "--asl: is missing"


def test_an_invalid_configuration_lists_every_fault() -> None:
    """The exception's text has a line for each."""
    error = ConfigInvalid([Fault("a", 1, 1, "", "x"), Fault("b", 2, 2, "", "y")])
    assert str(error) == "a:1:1: x\nb:2:2: y"
    assert len(error.faults) == 2


def test_a_suggestion_needs_a_likeness() -> None:
    """A word that is like nothing known gets none."""
    assert closest("bdy", ["body", "answer"]) == "body"
    assert closest("zzz", ["body", "answer"]) == ""
