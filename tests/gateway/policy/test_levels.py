"""Profiles are cumulative, and files that would loosen something are refused."""

from __future__ import annotations

import pytest
from support.policies import built_in

from gateway.exchange import Direction, Feature
from gateway.policy.levels import LevelInvalid, Profile, profiles, without_classifiers
from gateway.settings.levels import GroupEntry, LevelFile, read_levels
from gateway.settings.load import builtin_dir
from gateway.terms import Hold, OnFailure, Standard, Standing


def with_changes(asl: int, **changes: object) -> dict[int, Profile]:
    """The built-in files with one of them changed."""
    files = read_levels(builtin_dir() / "levels")
    return profiles([file.model_copy(update=changes) if file.asl == asl else file for file in files])


def group(name: str, **changes: object) -> GroupEntry:
    """A group as a file gives it."""
    fields = {"name": name, "standard": "deployment", "direction": "input", "members": ("rules",), **changes}
    return GroupEntry.model_validate(fields)


def test_built_in_levels_are_cumulative() -> None:
    """Each level keeps all that the lower ones do."""
    made = built_in()
    for lower, upper in ((1, 2), (2, 3), (3, 4), (4, 5)):
        assert set(made[lower].groups) <= set(made[upper].groups)
        assert made[lower].refused <= made[upper].refused
        assert made[lower].hold <= made[upper].hold
        assert made[lower].standing <= made[upper].standing
        assert made[lower].screen_budget >= made[upper].screen_budget


def test_what_each_built_in_level_switches_on() -> None:
    """The promises of the README's table."""
    made = built_in()
    names = {asl: {entry.name for entry in profile.groups} for asl, profile in made.items()}
    assert names[1] == {"standing", "rules_input", "rules_output"}
    assert names[2] - names[1] == {"harm_input"}
    assert "harm_screen" in made[2].shadow
    assert names[3] - names[2] == {"cbrn_input", "cbrn_output"}
    assert all(entry.on_failure is OnFailure.REFUSE for entry in made[3].groups if entry.name.startswith("cbrn"))
    assert all(entry.members[-1] == "lexicon" for entry in made[3].groups if entry.name.startswith("cbrn"))
    assert Feature.LOGPROBS in made[3].refused
    assert (made[4].standing, made[5].standing) == (Standing.NOT_ASSESSED, Standing.HALTED)


def test_without_classifiers_drops_whole_groups() -> None:
    """Rules and standing stay; nothing that a classifier leads does."""
    names = {entry.name for entry in without_classifiers(built_in()[3]).groups}
    assert names == {"standing", "rules_input", "rules_output"}


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"groups": (group("rules_input", members=("lexicon",)),)}, "looser"),
        ({"groups": (group("rules_input", direction="output"),)}, "looser"),
        ({"groups": (group("rules_input", on_failure="pass"),)}, "looser"),
        ({"screen_budget": 9000}, "screen_budget"),
    ],
)
def test_a_level_that_loosens_is_refused(changes: dict[str, object], says: str) -> None:
    """A higher level cannot replace, weaken or outspend a lower one."""
    with pytest.raises(LevelInvalid, match=says):
        with_changes(3, **changes)


def test_a_level_cannot_serve_above_one_that_does_not() -> None:
    """Standing only ever gets stricter."""
    with pytest.raises(LevelInvalid, match="serves"):
        with_changes(5, serving="yes")


def test_thresholds_only_tighten() -> None:
    """A higher level may lower a threshold, and not raise it."""
    files = list(read_levels(builtin_dir() / "levels"))
    files[1] = files[1].model_copy(update={"thresholds": {"harm_screen": 500}})
    files[2] = files[2].model_copy(update={"thresholds": {"harm_screen": 400, "input_screen": 300}})
    assert profiles(files)[4].thresholds == {"harm_screen": 400, "input_screen": 300}
    files[3] = files[3].model_copy(update={"thresholds": {"input_screen": 301}})
    with pytest.raises(LevelInvalid, match="threshold of input_screen"):
        profiles(files)


def test_a_group_may_gain_substitutes_and_act_where_it_was_in_shadow() -> None:
    """Stricter versions replace looser ones of the same name."""
    made = with_changes(3, groups=(group("harm_input", members=("harm_screen", "lexicon")),))
    entry = next(found for found in made[3].groups if found.name == "harm_input")
    assert entry.members == ("harm_screen", "lexicon")
    assert "harm_screen" not in made[3].shadow


def test_all_five_levels_are_needed() -> None:
    """A missing level is an error, never an empty profile."""
    with pytest.raises(LevelInvalid, match="found"):
        profiles([LevelFile(asl=1, summary="alone")])


def test_profiles_carry_types_of_ours() -> None:
    """Words of the file become the enums that everything else compares."""
    profile = built_in()[5]
    assert isinstance(profile.hold, Hold)
    assert all(
        isinstance(entry.standard, Standard) and isinstance(entry.direction, Direction) for entry in profile.groups
    )
