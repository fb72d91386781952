"""Profiles are cumulative, and made of the types that terms are made of; files that loosen are refused by settings."""

from __future__ import annotations

from dataclasses import replace

import pytest
from support.policies import built_in, model

from gateway.exchange import Direction, Feature
from gateway.policy.levels import LevelInvalid, profiles, without_classifiers
from gateway.settings.load import levels_of
from gateway.settings.model import Settings
from gateway.terms import Hold, OnFailure, Standard, Standing


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
    """Rules and standing stay; nothing that a classifier leads does, and no member that needs one."""
    names = {entry.name for entry in without_classifiers(built_in()[3]).groups}
    assert names == {"standing", "rules_input", "rules_output"}
    profile = built_in()[1]
    mixed = replace(
        profile, groups=tuple(replace(group, members=(*group.members, "input_screen")) for group in profile.groups)
    )
    assert without_classifiers(mixed) == profile


def test_all_five_levels_are_needed() -> None:
    """A missing level is an error, never an empty profile."""
    with pytest.raises(LevelInvalid, match="found"):
        profiles(levels_of(Settings(models=(model(),)))[:1])


def test_profiles_carry_types_of_ours() -> None:
    """Words of the file become the enums that everything else compares."""
    profile = built_in()[5]
    assert isinstance(profile.hold, Hold)
    assert all(
        isinstance(entry.standard, Standard) and isinstance(entry.direction, Direction) for entry in profile.groups
    )
