"""The shape of level files and merged levels."""

from __future__ import annotations

import pytest
from support.config_files import faults_of

from gateway.exchange import Direction
from gateway.settings.documents import Document
from gateway.settings.findings import validate
from gateway.settings.ladder import read_levels
from gateway.settings.levels import BELOW_ALL, LevelFile, MergedLevel
from gateway.settings.load import builtin_dir

GROUP = {"name": "g", "standard": "deployment", "direction": "input", "members": ["rules"]}


def test_what_is_left_out_is_not_said() -> None:
    """A file that adds nothing but its number and summary leaves the rest to the level below."""
    level = validate(LevelFile, Document("f", {"asl": 4, "summary": "s"}))
    assert (level.serving, level.hold, level.screen_budget, level.groups) == (None, None, None, ())


@pytest.mark.parametrize(
    "change",
    [
        {"members": []},
        {"name": "G"},
        {"standard": "both"},
        {"direction": "sideways"},
        {"deadline_ms": 0},
        {"on_failure": "allow"},
    ],
)
def test_a_group_has_members_a_name_a_standard_and_a_deadline(change: dict[str, object]) -> None:
    """An empty list of checks, a free-form name or an unknown failure mode is refused."""
    data = {"asl": 1, "summary": "s", "groups": [{**GROUP, **change}]}
    assert len(faults_of(lambda: validate(LevelFile, Document("f", data)))) == 1


@pytest.mark.parametrize(
    "change",
    [
        {"thresholds": {"rules": 0}},
        {"thresholds": {"rules": 1001}},
        {"screen_budget": 0},
        {"summary": ""},
        {"file": "x"},
    ],
)
def test_numbers_are_in_range_and_keys_are_known(change: dict[str, object]) -> None:
    """A threshold is 1 to 1000 thousandths, a budget at least one window."""
    assert len(faults_of(lambda: validate(LevelFile, Document("f", {"asl": 1, "summary": "s", **change})))) == 1


def test_what_acts_is_in_a_group_and_not_in_shadow() -> None:
    """At ASL-2 basic harm screening watches; at ASL-3 the screens act beside it."""
    merged: dict[int, MergedLevel] = {level.asl: level for level in read_levels(builtin_dir() / "levels")}
    assert merged[2].acting == {"halt", "rules"}
    assert merged[2].shadow == {"harm_screen"}
    assert merged[3].acting == {"halt", "rules", "input_screen", "output_screen", "lexicon"}
    assert BELOW_ALL.acting == frozenset()


def test_every_level_judges_both_halves() -> None:
    """No built-in level has an empty chain in either direction."""
    for level in read_levels(builtin_dir() / "levels"):
        assert {group.direction for group in level.groups} == set(Direction)
