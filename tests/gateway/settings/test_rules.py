"""Rules in their published form, from files and over the API."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.exchange import Direction
from gateway.settings.faults import ConfigInvalid
from gateway.settings.load import builtin_dir
from gateway.settings.rules import DIRECTIONS, from_rule, read_rules, rule_from
from gateway.terms import Rule

GOOD = "- {id: rr-1, category: cbrn, direction: input, match: {literal: amber kestrel}, action: block, expires: 2027-05-01, reason: test}\n"

RULES = st.builds(
    Rule,
    st.from_regex(r"[a-z][a-z0-9-]{0,9}", fullmatch=True),
    st.just("cbrn"),
    st.sampled_from(list(DIRECTIONS.values())),
    st.text(min_size=3, max_size=20),
    st.none(),
    st.integers(0, 40_000).map(lambda days: days * 86_400),
    st.text(min_size=1, max_size=20),
)


@given(RULES)
def test_a_rule_survives_its_published_form(rule: Rule) -> None:
    """What is written is what was read."""
    assert rule_from(from_rule(rule), "test") == rule


def test_a_rule_expires_after_its_last_day() -> None:
    """The date is the last day on which it counts, UTC."""
    rule = rule_from(
        {"id": "r", "category": "c", "match": {"pattern": "x"}, "expires": "1970-01-01", "reason": "t"}, "test"
    )
    assert rule.expires == 86_400
    assert rule.directions == frozenset(Direction)


def test_files_are_read_together(tmp_path: Path) -> None:
    """All files of a directory, by id."""
    (tmp_path / "b.yaml").write_text("rules:\n" + GOOD)
    (tmp_path / "a.yaml").write_text(GOOD.replace("rr-1", "rr-0"))
    assert [rule.id for rule in read_rules(tmp_path)] == ["rr-0", "rr-1"]
    assert read_rules(builtin_dir() / "rules")


def test_faults_of_all_files_come_together(tmp_path: Path) -> None:
    """Duplicates over files, both kinds of match, and unknown keys, each at its place."""
    (tmp_path / "a.yaml").write_text(GOOD)
    (tmp_path / "b.yaml").write_text(GOOD)
    (tmp_path / "c.yaml").write_text(
        GOOD.replace("literal: amber kestrel", "literal: amber kestrel, pattern: x").replace("action", "actoin")
    )
    with pytest.raises(ConfigInvalid) as error:
        read_rules(tmp_path)
    text = str(error.value)
    assert "exists already" in text
    assert "exactly one of literal and pattern" in text
    assert "did you mean 'action'" in text
    assert "c.yaml:1:" in text


def test_no_directory_is_a_fault(tmp_path: Path) -> None:
    """A rules directory that is not there is not an empty one."""
    with pytest.raises(ConfigInvalid, match="not a directory"):
        read_rules(tmp_path / "none")
