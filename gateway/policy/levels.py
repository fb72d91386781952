"""Profiles: what a level switches on, everything of the levels below it included, in the types that terms are made of."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from gateway.exchange import Feature
from gateway.settings.levels import GroupEntry, MergedLevel
from gateway.terms import Group, Hold, OnFailure, Standing

STANDINGS = {"yes": Standing.SERVING, "not_assessed": Standing.NOT_ASSESSED, "halted": Standing.HALTED}
# Controls that need an embedded classifier; without classifiers the groups that they lead are dropped, loudly.
CLASSIFIED = frozenset({"input_screen", "output_screen", "harm_screen"})


class LevelInvalid(Exception):
    """The levels do not make profiles; the message says why."""


@dataclass(frozen=True, slots=True)
class Profile:
    """Everything that one level switches on."""

    asl: int
    summary: str
    standing: Standing
    groups: tuple[Group, ...]
    thresholds: Mapping[str, int]
    shadow: frozenset[str]
    refused: frozenset[Feature]
    hold: Hold
    screen_budget: int
    retention: int  # days that ledger rows are kept


def profiles(levels: Iterable[MergedLevel]) -> dict[int, Profile]:
    """The profiles of levels 1 to 5. Raises LevelInvalid when one is missing."""
    made = {level.asl: _profile(level) for level in levels}
    if set(made) != {1, 2, 3, 4, 5}:
        raise LevelInvalid(f"levels 1 to 5 are needed, found {sorted(made)}")
    return made


def _profile(level: MergedLevel) -> Profile:
    return Profile(
        asl=level.asl,
        summary=level.summary,
        standing=STANDINGS[level.serving],
        groups=tuple(_group(entry) for entry in level.groups),
        thresholds=dict(level.thresholds),
        shadow=level.shadow,
        refused=level.refuse,
        hold=Hold[level.hold.upper()],
        screen_budget=level.screen_budget,
        retention=level.retention,
    )


def _group(entry: GroupEntry) -> Group:
    failure = OnFailure[entry.on_failure.upper()]
    return Group(entry.name, entry.standard, entry.direction, entry.members, failure, entry.deadline_ms)


def without_classifiers(profile: Profile) -> Profile:
    """A profile for ``--no-classifiers``: groups that a classifier leads are dropped wholly; rules and wire handling stay."""
    kept = tuple(
        replace(group, members=tuple(member for member in group.members if member not in CLASSIFIED))
        for group in profile.groups
        if group.members[0] not in CLASSIFIED
    )
    return replace(profile, groups=kept)
