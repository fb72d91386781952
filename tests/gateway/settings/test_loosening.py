"""What a level file must not do: each way of loosening is refused, at its place."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.config_files import copied_levels, lines_of, settings

from gateway.settings.ladder import read_levels
from gateway.settings.load import builtin_dir, levels_of

ONE = "{name: standing, standard: deployment, direction: input, members: [halt], deadline_ms: 100}"
MORE = "groups: [{name: x, standard: deployment, direction: input, members: [rules, rulez]}]"
TWICE = "groups: [" + ", ".join(["{name: x, standard: security, direction: input, members: [halt]}"] * 2) + "]"
OTHER, LONGER, PASSES = (
    f"groups[0]: group 'standing' {how} at asl-1; a group may only be tightened"
    for how in (
        "has other members, direction or standard than",
        "has a longer deadline than",
        "passes on failure, unlike",
    )
)
CONTROLS = frozenset({"halt", "rules", "lexicon", "input_screen", "output_screen", "harm_screen"})


def refused(directory: Path, **changed: str) -> list[str]:
    """The faults of the built-in levels with some files replaced, read without a floor."""
    return lines_of(lambda: read_levels(copied_levels(directory, **changed), controls=CONTROLS))


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        (
            f"groups: [{ONE.replace('[halt]', '[rules]')}]",
            OTHER,
        ),
        (
            f"groups: [{ONE.replace('input', 'output')}]",
            OTHER,
        ),
        (
            f"groups: [{ONE.replace('100', '101')}]",
            LONGER,
        ),
        (
            f"groups: [{ONE.replace('}', ', on_failure: pass}')}]",
            PASSES,
        ),
        ("shadow: [rules]", "shadow[0]: 'rules' acts at asl-1; in shadow it would not"),
        ("shadow: [rulez]", "shadow[0]: 'rulez' is in no group"),
        ("screen_budget: 4097", "screen_budget: is larger than at asl-1: 4096"),
        ("retention: 29", "retention: is shorter than at asl-1: 30"),
        ("thresholds: {screen: 3}", "thresholds.screen: there is no control 'screen'"),
        (
            MORE,
            "groups[0].members[1]: there is no control 'rulez'",
        ),
        (
            TWICE,
            "groups[1].name: group 'x' is there twice",
        ),
    ],
)
def test_a_level_cannot_loosen_the_one_below(tmp_path: Path, text: str, fault: str) -> None:
    """Each loosening of ASL-1 in the file of ASL-2 is one fault on its line."""
    found = refused(tmp_path, asl_2=f"asl: 2\nsummary: s\n{text}\n")
    assert [line.split(" ", 1)[1] for line in found] == [fault]
    assert found[0].startswith("3:")


def test_serving_and_holding_cannot_be_taken_back(tmp_path: Path) -> None:
    """A level above one that does not serve does not serve, and answers held whole stay so; higher thresholds are looser."""
    assert refused(tmp_path / "a", asl_5="asl: 5\nsummary: s\nserving: 'yes'\nhold: adaptive\n") == [
        "3:1 serving: yes is looser than at asl-4: not_assessed",
        "4:1 hold: adaptive is looser than at asl-4: whole",
    ]
    four, five = "asl: 4\nsummary: s\nthresholds: {rules: 5}\n", "asl: 5\nsummary: s\nthresholds: {rules: 6}\n"
    assert refused(tmp_path / "b", asl_4=four, asl_5=five) == ["3:14 thresholds.rules: is looser than at asl-4: 5"]


def test_the_lowest_level_must_judge_both_halves(tmp_path: Path) -> None:
    """An empty list of checks is an error, not an allow."""
    assert refused(tmp_path, asl_1="asl: 1\nsummary: s\nscreen_budget: 999999\n")[:2] == [
        "1:1 groups: has no group for input: an empty list of checks is an error",
        "1:1 groups: has no group for output: an empty list of checks is an error",
    ]


def undercut(directory: Path, **changed: str) -> list[str]:
    """The faults of levels that are held against the built-in ones."""
    return lines_of(lambda: levels_of(settings(levels=copied_levels(directory, **changed))))


def test_a_level_without_its_controls_is_refused(tmp_path: Path) -> None:
    """ASL-3 without its screens and refusals is not ASL-3; it is told once, not at every level above."""
    assert undercut(tmp_path, asl_3="asl: 3\nsummary: s\n") == [
        "1:1 groups: lacks the group 'cbrn_input' (input: input_screen, lexicon) (the built-in asl-3 is stricter)",
        "1:1 groups: lacks the group 'cbrn_output' (output: output_screen, lexicon) (the built-in asl-3 is stricter)",
        "1:1 refuse: does not refuse grammar, logit_bias, logprobs, media, opaque, prefill (the built-in asl-3 is stricter)",
        "1:1 retention: keeps rows for 90 days, not 365 (the built-in asl-3 is stricter)",
    ]


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (("lexicon], deadline_ms: 20000", "lexicon], on_failure: pass"), "group 'cbrn_input' passes on failure"),
        (("refuse:", "shadow: [lexicon]\nrefuse:"), "keeps in shadow lexicon"),
        (("logprobs, ", ""), "does not refuse logprobs"),
        (("[output_screen, lexicon]", "[lexicon]"), "lacks the group 'cbrn_output' (output: output_screen, lexicon)"),
    ],
)
def test_the_built_in_levels_cannot_be_undercut(tmp_path: Path, change: tuple[str, str], fault: str) -> None:
    """Failing open, watching only, accepting more or judging by less is refused where the built-in level does not."""
    three = (builtin_dir() / "levels" / "asl-3.yaml").read_text("utf-8")
    assert change[0] in three
    (found,) = undercut(tmp_path, asl_3=three.replace(*change))
    assert found.endswith(f"{fault} (the built-in asl-3 is stricter)")


def test_levels_cannot_serve_or_release_early(tmp_path: Path) -> None:
    """ASL-4 is not offered, and its answers are held whole, whatever the file leaves out."""
    assert undercut(tmp_path, asl_4="asl: 4\nsummary: s\nrefuse: [unknown_field]\n") == [
        "1:1 hold: hold is adaptive (the built-in asl-4 is stricter)",
        "1:1 retention: keeps rows for 365 days, not 1095 (the built-in asl-4 is stricter)",
        "1:1 serving: serving is yes (the built-in asl-4 is stricter)",
    ]


@pytest.mark.parametrize("text", ["", "thresholds: {input_screen: 301}\n"])
def test_a_threshold_of_the_floor_holds(tmp_path: Path, text: str) -> None:
    """Where the floor names a threshold, a higher one and none at all are looser."""
    three = (builtin_dir() / "levels" / "asl-3.yaml").read_text("utf-8")
    floor = read_levels(copied_levels(tmp_path / "f", asl_3=three + "thresholds: {input_screen: 300}\n"))
    mine = copied_levels(tmp_path / "m", asl_3=three + text)
    (found,) = lines_of(lambda: read_levels(mine, floor=floor))
    assert found.endswith("thresholds: has a looser threshold for input_screen (the built-in asl-3 is stricter)")


def test_tighter_levels_are_welcome(tmp_path: Path) -> None:
    """More groups, lower budgets, earlier refusals: all of it may be added."""
    two = "asl: 2\nsummary: s\nrefuse: [media]\nscreen_budget: 100\nretention: 90\ngroups:\n"
    two += (
        "  - {name: harm_input, standard: deployment, direction: input, members: [harm_screen], on_failure: refuse}\n"
    )
    directory = copied_levels(tmp_path, asl_2=two)
    three = (directory / "asl-3.yaml").read_text("utf-8").replace("screen_budget: 4096", "screen_budget: 100")
    (directory / "asl-3.yaml").write_text(three, "utf-8")
    for name in ("asl-4.yaml", "asl-5.yaml"):
        path = directory / name
        path.write_text(path.read_text("utf-8").replace("screen_budget: 4096", ""), "utf-8")
    merged = levels_of(settings(levels=directory))
    assert merged[1].acting >= {"harm_screen"}
    assert {level.screen_budget for level in merged[1:]} == {100}


def test_a_file_at_fault_brings_no_faults_of_others(tmp_path: Path) -> None:
    """What a broken file would have added is not reported missing above it."""
    assert undercut(tmp_path, asl_3="asl: 3\n") == ["1:1 summary: is missing"]
