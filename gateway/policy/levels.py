"""Profiles: what a level switches on, cumulative. A level keeps all that the lower ones do; a file that would loosen something is refused.

The loosening that cannot be written is also not computed: merging only ever joins.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from gateway.exchange import Feature
from gateway.settings.levels import GroupEntry, LevelFile
from gateway.terms import Group, Hold, OnFailure, Standing

STANDINGS = {"yes": Standing.SERVING, "not_assessed": Standing.NOT_ASSESSED, "halted": Standing.HALTED}
# Controls that need an embedded classifier; without classifiers the groups led by them are dropped, loudly.
CLASSIFIED = frozenset({"input_screen", "output_screen", "harm_screen"})


class LevelInvalid(Exception):
    """Level files contradict each other; the message says which and how."""


@dataclass(frozen=True, slots=True)
class Profile:
    """Everything that one level switches on, those below it included."""

    asl: int
    summary: str
    standing: Standing
    groups: tuple[Group, ...]
    thresholds: Mapping[str, int]
    shadow: frozenset[str]
    refused: frozenset[Feature]
    hold: Hold
    screen_budget: int


def profiles(files: Iterable[LevelFile]) -> dict[int, Profile]:
    """The cumulative profiles of levels 1 to 5. Raises LevelInvalid where a file would loosen a lower level."""
    made: dict[int, Profile] = {}
    below: Profile | None = None
    for file in sorted(files, key=lambda level: level.asl):
        below = made[file.asl] = _raise(below, _own(file), file.file) if below else _own(file)
    if set(made) != {1, 2, 3, 4, 5}:
        raise LevelInvalid(f"levels 1 to 5 are needed, found {sorted(made)}")
    return made


def _own(file: LevelFile) -> Profile:
    return Profile(
        file.asl,
        file.summary,
        STANDINGS[file.serving],
        tuple(_group(entry) for entry in file.groups),
        dict(file.thresholds),
        frozenset(file.shadow),
        frozenset(file.refuse),
        Hold[file.hold.upper()],
        file.screen_budget,
    )


def _group(entry: GroupEntry) -> Group:
    failure = OnFailure[entry.on_failure.upper()]
    return Group(entry.name, entry.standard, entry.direction, entry.members, failure, entry.deadline_ms)


def _raise(below: Profile, own: Profile, file: str) -> Profile:
    """A level over the one below it. A group of the same name replaces the lower one only where it is at least as strict."""
    groups = {group.name: group for group in below.groups}
    for group in own.groups:
        lower = groups.get(group.name)
        if lower is not None and not _stricter(group, lower):
            raise LevelInvalid(f"{file}: group {group.name!r} is looser than at asl-{below.asl}")
        groups[group.name] = group
    if own.standing < below.standing:
        raise LevelInvalid(f"{file}: serves although asl-{below.asl} does not")
    if own.screen_budget > below.screen_budget:
        raise LevelInvalid(f"{file}: screen_budget is larger than at asl-{below.asl}")
    thresholds = dict(below.thresholds)
    for control, value in own.thresholds.items():
        if value > thresholds.get(control, 1000):
            raise LevelInvalid(f"{file}: the threshold of {control} is looser than at asl-{below.asl}")
        thresholds[control] = value
    newly_acting = {member for group in own.groups for member in group.members}
    return replace(
        own,
        groups=tuple(groups.values()),
        thresholds=thresholds,
        shadow=(below.shadow - newly_acting) | own.shadow,
        refused=below.refused | own.refused,
        hold=max(below.hold, own.hold),
    )


def _stricter(group: Group, lower: Group) -> bool:
    same = (group.direction, group.standard) == (lower.direction, lower.standard)
    return same and group.members[: len(lower.members)] == lower.members and group.on_failure >= lower.on_failure


def without_classifiers(profile: Profile) -> Profile:
    """A profile for ``--no-classifiers``: groups that a classifier leads are dropped; rules and wire handling stay."""
    return replace(profile, groups=tuple(group for group in profile.groups if group.members[0] not in CLASSIFIED))
