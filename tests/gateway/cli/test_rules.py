"""``asl-gateway rules``: in force on the data plane as soon as the command returns."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from click.testing import Result
from support.canary import CANARY
from support.running import Running

from gateway.cli.exits import Exit

pytestmark = pytest.mark.usefixtures("clean")
Asl = Callable[..., Result]
ADD = ("rules", "add", "--id", "rr-1", "--reason", "reported jailbreak")


def test_an_added_rule_blocks_at_once_and_a_removed_one_no_more(asl: Asl, shared: Running) -> None:
    """Prompts with the literal pass, are blocked after the addition, and pass again after the removal."""
    assert shared.chat(CANARY).status_code == 200
    added = asl(*ADD, "--literal", CANARY)
    assert added.exit_code == 0
    assert "in force" in added.stdout
    refused = shared.chat(CANARY)
    assert (refused.status_code, refused.json()["error"]["code"]) == (400, "content_filter")
    assert "rr-1: removed" in asl("rules", "remove", "rr-1").stdout
    assert shared.chat(CANARY).status_code == 200


def test_a_rule_for_answers_blocks_answers(asl: Asl, shared: Running) -> None:
    """With direction output the prompt passes and the answer that repeats it is stopped."""
    asl(*ADD, "--pattern", "dolphin ?lantern", "--direction", "output")
    answer = shared.chat("Repeat after me: the dolphin lantern is lit").json()
    assert answer["choices"][0]["finish_reason"] == "content_filter"
    assert "dolphin" not in answer["choices"][0]["message"].get("content", "")


def test_expected_hits_are_printed(asl: Asl) -> None:
    """A rule that hits ordinary text says so, in words and in JSON."""
    done = asl(*ADD, "--literal", "the ")
    assert "expected hits on ordinary text:" in done.stdout
    data = json.loads(asl("rules", "add", "--id", "rr-2", "--reason", "r", "--literal", CANARY, "--json").stdout)
    assert data["expected_hits"] == 0
    assert data["of"] > 100


def test_rules_are_listed_with_their_source(asl: Asl) -> None:
    """A list shows direction, category, match and source; an empty one says so."""
    assert asl("rules", "list").stdout == "no rules\n"
    asl(*ADD, "--literal", CANARY, "--category", "cyber", "--direction", "input", "--expires", "2099-01-31")
    assert asl("rules", "list").stdout == f"rr-1  input  cyber  literal: {CANARY}  (added; reported jailbreak)\n"
    (rule,) = json.loads(asl("rules", "list", "--json").stdout)["rules"]
    assert (rule["expires"], rule["source"]) == ("2099-01-31", "added")


def test_remove_answers_in_json(asl: Asl) -> None:
    """The policy after the removal is named."""
    asl(*ADD, "--literal", CANARY)
    assert json.loads(asl("rules", "remove", "rr-1", "--json").stdout)["policy"].startswith("sha256:")


@pytest.mark.parametrize("match", [(), ("--literal", "abc", "--pattern", "abc")])
def test_exactly_one_match_is_a_matter_of_usage(asl: Asl, match: tuple[str, ...]) -> None:
    """Neither or both of literal and pattern is refused before anything is sent."""
    assert asl(*ADD, *match).exit_code == Exit.USAGE


@pytest.mark.parametrize(
    "arguments",
    [
        ("--pattern", "(unclosed"),
        ("--pattern", "a.*b"),
        ("--literal", "ab"),
        ("--literal", CANARY, "--expires", "tomorrow"),
        ("--literal", CANARY, "--direction", "sideways"),
        ("--literal", CANARY, "--category", "Not A Slug"),
    ],
)
def test_a_bad_rule_is_refused_with_its_fault(asl: Asl, arguments: tuple[str, ...]) -> None:
    """A rule that cannot be judged by is not added: exit 1 and a message, and the list stays as it was."""
    done = asl(*ADD, *arguments)
    assert done.exit_code == Exit.FAILURE
    assert len(done.stderr) > len("asl-gateway: \n")
    assert asl("rules", "list").stdout == "no rules\n"


def test_an_id_is_taken_once_and_an_unknown_one_cannot_be_removed(asl: Asl) -> None:
    """Both end with 1 and name the rule."""
    asl(*ADD, "--literal", CANARY)
    again, unknown = asl(*ADD, "--literal", CANARY), asl("rules", "remove", "rr/9")
    assert (again.exit_code, unknown.exit_code) == (1, 1)
    assert "'rr-1'" in again.stderr
    assert asl("rules", "remove", "rr-9").stderr == "asl-gateway: there is no added rule 'rr-9'\n"
