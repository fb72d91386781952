"""Rules in their published form: files, round trips, faults."""

from __future__ import annotations

import contextlib
import datetime as dt
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.config_files import faults_of, lines_of, write

from gateway.exchange import Direction
from gateway.settings.faults import ConfigInvalid
from gateway.settings.rules import RuleEntry, from_rule, read_rules, rule_from
from gateway.terms import Rule

CANARY = "amber kestrel protocol"
PUBLISHED: dict[str, Any] = {
    "id": "rr-2026-001",
    "category": "cbrn",
    "direction": "both",
    "match": {"literal": CANARY},
    "action": "block",
    "expires": "2027-05-01",
    "reason": "reported jailbreak",
}
LINE = '- {id: rr-1, category: cbrn, direction: input, match: {literal: "amber kestrel protocol"}, reason: x}\n'


def test_the_published_form_becomes_a_rule() -> None:
    """It is in force to the end of its last day, UTC."""
    end = int(dt.datetime(2027, 5, 2, tzinfo=dt.UTC).timestamp())
    assert rule_from(PUBLISHED, "x") == Rule(
        "rr-2026-001", "cbrn", frozenset(Direction), CANARY, None, end, "reported jailbreak"
    )


def test_what_is_left_out_is_the_stricter_choice() -> None:
    """Both directions, blocking, for good."""
    rule = rule_from({"id": "r", "category": "cbrn", "match": {"pattern": "amber.{1,9}"}, "reason": "x"}, "x")
    assert (rule.directions, rule.expires, rule.pattern, rule.literal) == (frozenset(Direction), 0, "amber.{1,9}", None)


@given(
    direction=st.sampled_from(["input", "output", "both"]),
    match=st.sampled_from([{"literal": CANARY}, {"pattern": "a{1,3}"}]),
    expires=st.none() | st.dates(dt.date(1970, 1, 1), dt.date(9998, 12, 31)),
)
def test_a_rule_survives_the_round_trip(direction: str, match: dict[str, str], expires: dt.date | None) -> None:
    """What is published of a rule makes the same rule again."""
    given_form = {**PUBLISHED, "direction": direction, "match": match}
    del given_form["expires"]
    if expires is not None:
        given_form["expires"] = expires.isoformat()
    rule = rule_from(given_form, "x")
    assert from_rule(rule) == given_form
    assert rule_from(from_rule(rule), "y") == rule


@pytest.mark.parametrize(
    ("change", "key"),
    [
        ({"id": "a b"}, "id"),
        ({"id": 7}, "id"),
        ({"category": "CBRN"}, "category"),
        ({"direction": "sideways"}, "direction"),
        ({"match": {}}, "match"),
        ({"match": {"literal": CANARY, "pattern": "x"}}, "match"),
        ({"match": {"literal": "ab"}}, "match.literal"),
        ({"action": "log"}, "action"),
        ({"expires": "9999-12-31"}, "expires"),
        ({"expires": "0001-01-01"}, "expires"),
        ({"expires": "soon"}, "expires"),
        ({"expires": "2027-05-01T10:00:00"}, "expires"),
        ({"reason": ""}, "reason"),
        ({"rason": "x"}, "rason"),
    ],
)
def test_what_is_no_rule_is_refused_at_its_key(change: dict[str, Any], key: str) -> None:
    """Each fault names the key, and the source that was given."""
    found = faults_of(lambda: rule_from({**PUBLISHED, **change}, "added rule"))
    assert [(fault.file, fault.key) for fault in found] == [("added rule", key)]


@pytest.mark.parametrize("head", ["", "rules:\n"])
def test_a_file_is_a_list_of_rules_with_or_without_its_key(tmp_path: Path, head: str) -> None:
    """Both forms are read, from all files, ordered by id."""
    write(tmp_path / "b.yaml", head + LINE)
    write(tmp_path / "a.yaml", head + LINE.replace("rr-1", "rr-2"))
    write(tmp_path / "notes.txt", "not a rule file")
    assert [rule.id for rule in read_rules(tmp_path)] == ["rr-1", "rr-2"]


def test_all_faults_of_all_files_come_at_once(tmp_path: Path) -> None:
    """Wrong kinds, ids that exist, duplicate keys and what the matcher refuses."""
    write(tmp_path / "a.yaml", LINE + LINE.replace("rr-1", "bad"))
    write(tmp_path / "b.yaml", LINE)
    write(tmp_path / "c.yaml", LINE.replace("reason: x", "reason: x, reason: y") + "- 3\n")
    found = faults_of(lambda: read_rules(tmp_path, lambda rule: "has no bound" if rule.id == "bad" else ""))
    assert [(Path(fault.file).name, fault.line, fault.key, fault.message) for fault in found] == [
        ("a.yaml", 2, "rules[1].match", "has no bound"),
        ("b.yaml", 1, "rules[0].id", "rule 'rr-1' exists already"),
        ("c.yaml", 1, "rules[0].reason", "the same key twice"),
        ("c.yaml", 2, "rules[1]", "is not a mapping"),
    ]


def test_a_directory_that_is_not_there_is_a_fault(tmp_path: Path) -> None:
    """Missing rules are not no rules."""
    assert lines_of(lambda: read_rules(tmp_path / "none")) == ["0:0 rules: is not a directory"]


def test_an_empty_file_is_a_fault(tmp_path: Path) -> None:
    """A file that lost its content is not a file without rules."""
    assert lines_of(lambda: read_rules(write(tmp_path / "a.yaml", "").parent)) == ["0:0 : is not a mapping"]


def test_the_shape_knows_its_fields() -> None:
    """The published form has exactly the keys of the contract."""
    assert set(RuleEntry.model_fields) == set(PUBLISHED)


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.dates()
    | st.sampled_from(["both", "block", "cbrn", "rr-1", "2027-01-01", "a{1,3}"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["id", "category", "direction", "match", "literal", "pattern", "action", "expires", "reason", "rules"]
            )
            | st.text(max_size=4),
            inner,
            max_size=5,
        )
    ),
    max_leaves=12,
)


@settings(deadline=None)
@given(VALUES, st.dictionaries(st.sampled_from(sorted(PUBLISHED)), VALUES, max_size=2))
def test_any_data_is_a_rule_or_faults(data: object, change: dict[str, object]) -> None:
    """Whatever is sent or written as a rule: a rule that survives the round trip, or ConfigInvalid."""
    for given_form in (data, {**PUBLISHED, **change}):
        with contextlib.suppress(ConfigInvalid):
            rule = rule_from(given_form, "x")
            assert rule_from(from_rule(rule), "x") == rule
