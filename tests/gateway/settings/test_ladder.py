"""Merging levels from the lowest up."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.config_files import copied_levels, faults_of, lines_of

from gateway.exchange import Direction, Feature
from gateway.settings.ladder import merge, read_levels
from gateway.settings.levels import BELOW_ALL, FAILINGS, HOLDINGS, SERVINGS, GroupEntry, LevelFile
from gateway.settings.load import builtin_dir
from gateway.terms import Standard

CONTROLS = st.sampled_from(["rules", "halt", "harm_screen"])
GROUPS = st.builds(
    GroupEntry,
    name=st.sampled_from(["a", "b"]),
    standard=st.just(Standard.DEPLOYMENT),
    direction=st.just(Direction.INPUT),
    members=st.lists(CONTROLS, min_size=1, max_size=2).map(tuple),
    on_failure=st.sampled_from(FAILINGS),
    deadline_ms=st.integers(1, 3),
)
FILES = st.builds(
    LevelFile,
    asl=st.just(2),
    summary=st.just("s"),
    serving=st.none() | st.sampled_from(SERVINGS),
    groups=st.lists(GROUPS, max_size=3).map(tuple),
    thresholds=st.dictionaries(CONTROLS, st.integers(1, 5)),
    shadow=st.lists(CONTROLS).map(tuple),
    refuse=st.lists(st.sampled_from(Feature)).map(tuple),
    hold=st.none() | st.sampled_from(HOLDINGS),
    screen_budget=st.none() | st.integers(1, 5000),
    retention=st.none() | st.integers(1, 100),
)


def test_the_built_in_levels_are_whole() -> None:
    """Five levels, without a fault, naming only controls that exist."""
    controls = frozenset({"halt", "rules", "lexicon", "input_screen", "output_screen", "harm_screen"})
    levels = read_levels(builtin_dir() / "levels", controls=controls)
    assert [level.asl for level in levels] == [1, 2, 3, 4, 5]
    assert [level.serving for level in levels] == ["yes", "yes", "yes", "not_assessed", "halted"]


def test_asl_3_refuses_what_no_view_can_read() -> None:
    """And ASL-4 also unknown fields; ASL-1 and ASL-2 refuse nothing."""
    levels = read_levels(builtin_dir() / "levels")
    assert levels[0].refuse == levels[1].refuse == frozenset()
    assert levels[2].refuse == frozenset(Feature) - {Feature.UNKNOWN_FIELD}
    assert levels[3].refuse == frozenset(Feature)
    assert levels[3].hold == "whole"


@given(lower=FILES, own=FILES)
def test_merging_never_loosens(lower: LevelFile, own: LevelFile) -> None:
    """Whatever a file says, the merged level does all that the lower one does: the check is not the only guard."""
    below = merge(BELOW_ALL, lower)
    level = merge(below, own)
    mine = {group.name: group for group in level.groups}
    for group in below.groups:
        kept = mine[group.name]
        assert (kept.members, kept.direction, kept.standard) == (group.members, group.direction, group.standard)
        assert FAILINGS.index(kept.on_failure) >= FAILINGS.index(group.on_failure)
        assert kept.deadline_ms <= group.deadline_ms
    assert level.acting >= below.acting
    assert level.refuse >= below.refuse
    assert all(level.thresholds[control] <= value for control, value in below.thresholds.items())
    assert SERVINGS.index(level.serving) >= SERVINGS.index(below.serving)
    assert HOLDINGS.index(level.hold) >= HOLDINGS.index(below.hold)
    assert level.screen_budget <= below.screen_budget
    assert level.retention >= below.retention


def test_a_control_in_shadow_acts_when_a_higher_level_names_it(tmp_path: Path) -> None:
    """It leaves the shadow with the group that makes it act."""
    four = "asl: 4\nsummary: s\nserving: not_assessed\nrefuse: [unknown_field]\nhold: whole\n"
    four += "groups: [{name: harm_acts, standard: deployment, direction: input, members: [harm_screen]}]\n"
    levels = read_levels(copied_levels(tmp_path, asl_4=four))
    assert [("harm_screen" in level.shadow, "harm_screen" in level.acting) for level in levels[1:4]] == [
        (True, False),
        (True, False),
        (False, True),
    ]


def test_the_lowest_level_sets_its_own_budget(tmp_path: Path) -> None:
    """It may be larger than the default, since nothing stands below."""
    one = (builtin_dir() / "levels" / "asl-1.yaml").read_text("utf-8") + "\nscreen_budget: 9000\n"
    without = "\n".join(line for line in one.splitlines() if not line.startswith("screen_budget"))
    assert (
        read_levels(copied_levels(tmp_path / "a", asl_1=f"{without}\nscreen_budget: 9000\n"))[0].screen_budget == 9000
    )
    assert read_levels(copied_levels(tmp_path / "b", asl_1=without))[0].screen_budget == BELOW_ALL.screen_budget


def test_a_file_says_the_level_of_its_name(tmp_path: Path) -> None:
    """A copied file with the wrong number is refused at the number."""
    assert "1:1 asl: says 3, but the file is for level 2" in lines_of(
        lambda: read_levels(copied_levels(tmp_path, asl_2="asl: 3\nsummary: s\n"))
    )


def test_the_faults_of_all_files_come_at_once(tmp_path: Path) -> None:
    """Missing and malformed files are reported together."""
    directory = copied_levels(tmp_path, asl_2="asl: [", asl_4="asl: 4\n")
    (directory / "asl-5.yaml").unlink()
    assert sorted(Path(fault.file).name for fault in faults_of(lambda: read_levels(directory))) == [
        "asl-2.yaml",
        "asl-4.yaml",
        "asl-5.yaml",
    ]


@pytest.mark.parametrize("asl", ["asl-6", "6", "'3'"])
def test_there_are_five_levels(tmp_path: Path, asl: str) -> None:
    """Another number, or a number in quotes, is no level."""
    found = lines_of(lambda: read_levels(copied_levels(tmp_path, asl_3=f"asl: {asl}\nsummary: s\n")))
    assert found == ["1:1 asl: is not a level: asl-1 to asl-5"]
