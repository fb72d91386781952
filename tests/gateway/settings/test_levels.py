"""The shape of level files and merged levels."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.config_files import faults_of

from gateway.exchange import Direction
from gateway.settings.documents import Document
from gateway.settings.faults import ConfigInvalid
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


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.dates()
    | st.sampled_from(["adaptive", "refuse", "input", "deployment", "rules", "media"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "asl",
                    "summary",
                    "serving",
                    "groups",
                    "thresholds",
                    "shadow",
                    "refuse",
                    "hold",
                    "name",
                    "members",
                    "standard",
                    "direction",
                ]
            )
            | st.text(max_size=4),
            inner,
            max_size=5,
        )
    ),
    max_leaves=12,
)


@settings(deadline=None)
@given(
    VALUES
    | st.fixed_dictionaries(
        {"asl": VALUES, "summary": st.just("s")},
        optional={"groups": st.lists(VALUES | st.just(GROUP), max_size=3), "refuse": VALUES, "thresholds": VALUES},
    )
)
def test_any_data_is_a_level_or_faults(data: object) -> None:
    """Whatever stands in a level file: a level in its range whose groups have members, or ConfigInvalid with at least one fault."""
    try:
        level = validate(LevelFile, Document("f", data))
    except ConfigInvalid as error:
        told = error.faults
    else:
        told = ()
        assert 1 <= level.asl <= 5
        assert all(group.members for group in level.groups)
    assert told or data
