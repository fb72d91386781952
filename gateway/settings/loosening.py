"""What a level file must not do: loosen a lower level, name what does not exist, or undercut the built-in level."""

from __future__ import annotations

from collections.abc import Iterator

from gateway.exchange import Direction
from gateway.settings.documents import Document, Loc
from gateway.settings.faults import Fault, closest
from gateway.settings.levels import BELOW_ALL, FAILINGS, HOLDINGS, SERVINGS, GroupEntry, LevelFile, MergedLevel


def agree(own: LevelFile, below: MergedLevel, document: Document) -> Iterator[Fault]:
    """The faults of a file by itself and over the level below it."""
    yield from _groups(own, below, document)
    yield from _shadows(own, below, document)
    than = f"than at asl-{below.asl}"
    if own.serving is not None and SERVINGS.index(own.serving) < SERVINGS.index(below.serving):
        yield document.fault(("serving",), f"{own.serving} is looser {than}: {below.serving}")
    if own.hold is not None and HOLDINGS.index(own.hold) < HOLDINGS.index(below.hold):
        yield document.fault(("hold",), f"{own.hold} is looser {than}: {below.hold}")
    if below is not BELOW_ALL and own.screen_budget is not None and own.screen_budget > below.screen_budget:
        yield document.fault(("screen_budget",), f"is larger {than}: {below.screen_budget}")
    if below is not BELOW_ALL and own.retention is not None and own.retention < below.retention:
        yield document.fault(("retention",), f"is shorter {than}: {below.retention}")
    for control, value in own.thresholds.items():
        if value > below.thresholds.get(control, value):
            yield document.fault(("thresholds", control), f"is looser {than}: {below.thresholds[control]}")


def _groups(own: LevelFile, below: MergedLevel, document: Document) -> Iterator[Fault]:
    lower = {group.name: group for group in below.groups}
    names: set[str] = set()
    for index, group in enumerate(own.groups):
        if group.name in names:
            yield document.fault(("groups", index, "name"), f"group {group.name!r} is there twice")
        names.add(group.name)
        if group.name in lower and (difference := _loosened(group, lower[group.name])):
            message = f"group {group.name!r} {difference} asl-{below.asl}; a group may only be tightened"
            yield document.fault(("groups", index), message)
    if below is BELOW_ALL:
        for direction in Direction:
            if not any(group.direction is direction for group in own.groups):
                yield document.fault(("groups",), f"has no group for {direction}: an empty list of checks is an error")


def _loosened(group: GroupEntry, lower: GroupEntry) -> str:
    if (group.members, group.direction, group.standard) != (lower.members, lower.direction, lower.standard):
        return "has other members, direction or standard than at"
    if FAILINGS.index(group.on_failure) < FAILINGS.index(lower.on_failure):
        return "passes on failure, unlike at"
    return "has a longer deadline than at" if group.deadline_ms > lower.deadline_ms else ""


def _shadows(own: LevelFile, below: MergedLevel, document: Document) -> Iterator[Fault]:
    here = {member for group in own.groups for member in group.members}
    known = here | below.acting | below.shadow
    for index, control in enumerate(own.shadow):
        if control in below.acting:
            yield document.fault(("shadow", index), f"{control!r} acts at asl-{below.asl}; in shadow it would not")
        elif control not in known:
            yield document.fault(("shadow", index), f"{control!r} is in no group", closest(control, known))


def unknown(own: LevelFile, controls: frozenset[str], document: Document) -> Iterator[Fault]:
    """Names of controls that do not exist."""
    for index, group in enumerate(own.groups):
        for place, member in enumerate(group.members):
            if member not in controls:
                loc = ("groups", index, "members", place)
                yield document.fault(loc, f"there is no control {member!r}", closest(member, controls))
    for control in own.thresholds:
        if control not in controls:
            yield document.fault(
                ("thresholds", control), f"there is no control {control!r}", closest(control, controls)
            )


def weaker(level: MergedLevel, floor: MergedLevel) -> Iterator[tuple[str, Loc]]:
    """What a level does less than its floor, and the key that says so. Deadlines and budgets may differ: they fit a machine."""
    groups = {(group.name, group.direction, group.standard, group.members): group for group in level.groups}
    for wanted in floor.groups:
        mine = groups.get((wanted.name, wanted.direction, wanted.standard, wanted.members))
        if mine is None:
            yield f"lacks the group {wanted.name!r} ({wanted.direction}: {', '.join(wanted.members)})", ("groups",)
        elif FAILINGS.index(mine.on_failure) < FAILINGS.index(wanted.on_failure):
            yield f"group {wanted.name!r} passes on failure", ("groups",)
    for what, missing, key in (
        ("keeps in shadow", floor.acting & level.shadow, "shadow"),
        ("does not refuse", floor.refuse - level.refuse, "refuse"),
        ("has a looser threshold for", _higher(level, floor), "thresholds"),
    ):
        if missing:
            yield f"{what} {', '.join(sorted(missing))}", (key,)
    if SERVINGS.index(level.serving) < SERVINGS.index(floor.serving):
        yield f"serving is {level.serving}", ("serving",)
    if HOLDINGS.index(level.hold) < HOLDINGS.index(floor.hold):
        yield f"hold is {level.hold}", ("hold",)
    if level.retention < floor.retention:
        yield f"keeps rows for {level.retention} days, not {floor.retention}", ("retention",)


def _higher(level: MergedLevel, floor: MergedLevel) -> frozenset[str]:
    return frozenset(name for name, value in floor.thresholds.items() if level.thresholds.get(name, 1001) > value)
