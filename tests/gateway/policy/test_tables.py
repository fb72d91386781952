"""The level x control table says what the profiles do, and never more."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gateway.exchange import Direction, Feature
from gateway.policy.levels import Profile, profiles
from gateway.policy.tables import level_control_table
from gateway.settings.ladder import read_levels
from gateway.settings.load import builtin_dir
from gateway.terms import Group, Hold, OnFailure, Standard, Standing

CONTROLS = ("halt", "rules", "lexicon", "input_screen", "output_screen", "harm_screen")


@pytest.fixture(scope="module")
def builtin() -> dict[int, Profile]:
    """The profiles that are shipped."""
    return profiles(read_levels(builtin_dir() / "levels"))


def group(name: str, *members: str, on_failure: OnFailure = OnFailure.REFUSE) -> Group:
    """A group on prompts."""
    return Group(name, Standard.DEPLOYMENT, Direction.INPUT, members, on_failure)


def profile(asl: int, *groups: Group, shadow: frozenset[str] = frozenset()) -> Profile:
    """A profile of these groups."""
    refused = frozenset({Feature.MEDIA}) if asl > 1 else frozenset[Feature]()
    return Profile(asl, "", Standing.SERVING, groups, {}, shadow, refused, Hold.ADAPTIVE, 4096, 30)


def cells(table: str) -> dict[str, list[str]]:
    """The cells of every row by its label."""
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()]
    return {row[0]: row[1:] for row in rows}


def test_a_table_in_full() -> None:
    """Who judges, who stands in, what happens when nobody can, what only watches; a dash where a level has nothing."""
    rules, screen = group("rules_input", "rules"), group("cbrn_input", "input_screen", "lexicon")
    watch = group("harm_input", "harm_screen", on_failure=OnFailure.PASS)
    levels = {
        1: profile(1, rules, replace(watch, name="soft", members=("rules",))),
        2: profile(2, rules, watch, shadow=frozenset({"harm_screen"})),
        3: replace(profile(3, rules, screen), standing=Standing.HALTED, hold=Hold.WHOLE, screen_budget=12),
    }
    assert level_control_table(levels) == (
        "| | ASL-1 | ASL-2 | ASL-3 |\n"
        "|---|---|---|---|\n"
        "| serves | yes | yes | no: `asl_serving_halted` |\n"
        "| `rules_input` (input, deployment) | `rules`, else refused | `rules`, else refused | `rules`, else refused |\n"
        "| `soft` (input, deployment) | `rules`, else passed | – | – |\n"
        "| `harm_input` (input, deployment) | – | `harm_screen` (watches only) | – |\n"
        "| `cbrn_input` (input, deployment) | – | – | `input_screen`, else `lexicon`, else refused |\n"
        "| refused features | – | `media` | `media` |\n"
        "| answers held | adaptive | adaptive | whole |\n"
        "| screening budget (windows) | 4,096 | 4,096 | 12 |\n"
        "| ledger rows kept (days) | 30 | 30 | 30 |\n"
    )


def test_a_member_that_only_watches_is_not_sold_as_a_judge() -> None:
    """In a group of judges and watchers each watcher is marked."""
    mixed = {3: profile(3, group("g", "a", "b"), shadow=frozenset({"a"}))}
    assert cells(level_control_table(mixed))["`g` (input, deployment)"] == [
        "`a` (watches only), else `b`, else refused"
    ]


def test_the_shipped_levels_promise_only_what_they_do(builtin: dict[int, Profile]) -> None:
    """Each cell of the shipped table is backed by a group, names its members only, and every group has its cell."""
    table = cells(level_control_table(builtin))
    names = {found.name for level in builtin.values() for found in level.groups}
    assert {label.split("`")[1] for label in table if label.startswith("`")} == names
    for label, row in table.items():
        for asl, cell in zip(builtin, row, strict=True):
            if not label.startswith("`"):
                continue
            found = [one for one in builtin[asl].groups if f"`{one.name}` ({one.direction}, {one.standard})" == label]
            assert bool(found) == (cell != "–")
            for one in found:
                assert cell.split("`")[1::2] == list(one.members)
                acts = not builtin[asl].shadow >= set(one.members)
                assert cell.endswith("else refused") == (acts and one.on_failure is OnFailure.REFUSE)


def test_the_shipped_levels_are_cumulative_in_the_table(builtin: dict[int, Profile]) -> None:
    """A duty that a level has, every level above it has too; serving stops at ASL-4 and stays stopped."""
    table = cells(level_control_table(builtin))
    for label, row in table.items():
        if label.startswith("`"):
            assert "–" not in row[[cell != "–" for cell in row].index(True) :], label
    assert [cell.startswith("yes") for cell in table["serves"]] == [True, True, True, False, False]
    assert "asl_not_assessed" in table["serves"][3]


def test_the_shipped_table_names_existing_controls_only(builtin: dict[int, Profile]) -> None:
    """No control is promised that the program does not have."""
    table = cells(level_control_table(builtin))
    named = {
        part for label, row in table.items() if label.startswith("`") for cell in row for part in cell.split("`")[1::2]
    }
    assert named <= set(CONTROLS)
    assert {"rules", "input_screen", "output_screen", "lexicon"} <= named
