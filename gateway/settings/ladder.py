"""Reading the five level files and merging them from the lowest up.

A level keeps all that the lower ones do. A group of the same name may only be tightened (failure mode, deadline); other members need
another name. The loosening that cannot be written is also not computed: merging only ever tightens.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

from gateway.settings.documents import Document, read
from gateway.settings.faults import ConfigInvalid, Fault
from gateway.settings.findings import ordered, validate
from gateway.settings.levels import BELOW_ALL, FAILINGS, HOLDINGS, SERVINGS, GroupEntry, LevelFile, MergedLevel
from gateway.settings.loosening import agree, unknown, weaker

Choice = TypeVar("Choice")


def read_levels(
    directory: Path, *, floor: Iterable[MergedLevel] = (), controls: frozenset[str] | None = None
) -> tuple[MergedLevel, ...]:
    """``asl-1.yaml`` to ``asl-5.yaml``, merged from the lowest up. Raises ConfigInvalid with the faults of all of them.

    ``floor``: levels that must not be undercut (the built-in ones). ``controls``: the ids that exist, where they are known.
    """
    faults: list[Fault] = []
    merged: list[MergedLevel] = []
    floors = {level.asl: level for level in floor}
    told: set[str] = set()
    below = BELOW_ALL
    for asl in range(1, 6):
        document, own = _read(directory / f"asl-{asl}.yaml", asl, faults)
        if document is None or own is None:
            floors = {}  # what stands in this file is missing above it; saying so there would only confuse
            continue
        faults += agree(own, below, document)
        faults += unknown(own, controls, document) if controls is not None else ()
        below = merge(below, own)
        faults += _undercut(below, floors.get(asl), document, told)
        merged.append(below)
    if faults:
        raise ConfigInvalid(ordered(faults))
    return tuple(merged)


def _undercut(level: MergedLevel, floor: MergedLevel | None, document: Document, told: set[str]) -> Iterator[Fault]:
    """Where a level does less than its floor. What a lower one lacked is told there, not at every level above it."""
    for what, loc in weaker(level, floor) if floor is not None else ():
        if what not in told:
            yield document.fault(loc, f"{what} (the built-in asl-{level.asl} is stricter)")
        told.add(what)


def _read(path: Path, asl: int, faults: list[Fault]) -> tuple[Document | None, LevelFile | None]:
    try:
        document = read(path)
        own = validate(LevelFile, document)
    except ConfigInvalid as error:
        faults += error.faults
        return None, None
    if own.asl != asl:
        faults.append(document.fault(("asl",), f"says {own.asl}, but the file is for level {asl}"))
    return document, own


def merge(below: MergedLevel, own: LevelFile) -> MergedLevel:
    """A level over the one below it. A control in shadow below acts from the level on that names it in a group again."""
    groups = {group.name: group for group in below.groups}
    for group in own.groups:
        groups[group.name] = _tighter(groups.get(group.name, group), group)
    named = {member for group in own.groups for member in group.members}
    thresholds = dict(below.thresholds)
    for control, value in own.thresholds.items():
        thresholds[control] = min(value, thresholds.get(control, value))
    return MergedLevel(
        asl=own.asl,
        summary=own.summary,
        serving=_later(SERVINGS, below.serving, own.serving),
        groups=tuple(groups.values()),
        thresholds=thresholds,
        shadow=((below.shadow - named) | frozenset(own.shadow)) - below.acting,
        refuse=below.refuse | frozenset(own.refuse),
        hold=_later(HOLDINGS, below.hold, own.hold),
        screen_budget=_budget(below, own),
        retention=_retention(below, own),
    )


def _budget(below: MergedLevel, own: LevelFile) -> int:
    if own.screen_budget is None:
        return below.screen_budget
    return own.screen_budget if below is BELOW_ALL else min(below.screen_budget, own.screen_budget)


def _retention(below: MergedLevel, own: LevelFile) -> int:
    if own.retention is None:
        return below.retention
    return own.retention if below is BELOW_ALL else max(below.retention, own.retention)


def _later(order: Sequence[Choice], below: Choice, own: Choice | None) -> Choice:
    return below if own is None else max(below, own, key=order.index)


def _tighter(lower: GroupEntry, group: GroupEntry) -> GroupEntry:
    failure = max(lower.on_failure, group.on_failure, key=FAILINGS.index)
    deadline = min(lower.deadline_ms, group.deadline_ms)
    return lower.model_copy(update={"on_failure": failure, "deadline_ms": deadline})
