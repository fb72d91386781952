"""Profiles: levels in the types of terms, and what is left without classifiers."""

from __future__ import annotations

from dataclasses import replace

import pytest
from support.policy_values import built_in

from gateway.exchange import Direction
from gateway.policy.levels import CLASSIFIED, LevelInvalid, profiles, without_classifiers
from gateway.settings.ladder import read_levels
from gateway.settings.load import builtin_dir
from gateway.terms import Group, Hold, OnFailure, Standard, Standing


def test_profiles_hold_what_the_files_say() -> None:
    """ASL-3 as it ships: screens with the lexicon as substitute, failing strict."""
    three = built_in()[3]
    assert (three.standing, three.hold, three.screen_budget) == (Standing.SERVING, Hold.ADAPTIVE, 4096)
    groups = {group.name: group for group in three.groups}
    assert groups["cbrn_input"] == Group(
        "cbrn_input", Standard.DEPLOYMENT, Direction.INPUT, ("input_screen", "lexicon"), OnFailure.REFUSE, 20_000
    )
    assert groups["harm_input"].on_failure is OnFailure.PASS
    assert three.shadow == {"harm_screen"}


def test_the_standing_of_each_level() -> None:
    """ASL-4 is not assessed, ASL-5 halted."""
    assert [built_in()[asl].standing for asl in range(1, 6)] == [
        Standing.SERVING,
        Standing.SERVING,
        Standing.SERVING,
        Standing.NOT_ASSESSED,
        Standing.HALTED,
    ]


def test_a_missing_level_is_an_error() -> None:
    """Four levels are not five."""
    with pytest.raises(LevelInvalid, match=r"\[1, 2, 3, 4\]"):
        profiles(read_levels(builtin_dir() / "levels")[:4])


@pytest.mark.parametrize("asl", [1, 2, 3, 4, 5])
def test_without_classifiers_rules_and_halt_stay(asl: int) -> None:
    """Groups that a classifier leads go wholly, the substitute with them; nothing else changes."""
    profile = built_in()[asl]
    left = without_classifiers(profile)
    assert [group.name for group in left.groups] == ["standing", "rules_input", "rules_output"]
    assert replace(left, groups=profile.groups) == profile


def test_a_substitute_that_is_a_classifier_goes_alone() -> None:
    """A group that something else leads stays, without it."""
    group = Group("x", Standard.DEPLOYMENT, Direction.INPUT, ("lexicon", *sorted(CLASSIFIED)))
    left = without_classifiers(replace(built_in()[1], groups=(group,)))
    assert left.groups == (replace(group, members=("lexicon",)),)
