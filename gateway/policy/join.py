"""The join of terms: what an exchange is judged under when the policy changes while it runs.

Commutative, associative, idempotent, and never looser than either side; ``looser`` is the oracle that the property tests use.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from gateway.terms import Group, Terms


def join(one: Terms, other: Terms) -> Terms:
    """The stricter of two terms of one model, in every respect. Raises ValueError for terms of different models."""
    if one.model != other.model:
        raise ValueError(f"terms of {one.model!r} and {other.model!r} do not join")
    return Terms(
        model=one.model,
        level=one.level.join(other.level),
        standing=max(one.standing, other.standing),
        groups=join_groups(one.groups | other.groups),
        rule_sets=one.rule_sets | other.rule_sets,
        thresholds=_smallest(one.thresholds | other.thresholds),
        refused=one.refused | other.refused,
        shadow=_shadow(one, other),
        hold=max(one.hold, other.hold),
        screen_budget=min(one.screen_budget, other.screen_budget),
        snapshots=one.snapshots | other.snapshots,
        revision=max(one.revision, other.revision),
    )


def acting(terms: Terms) -> frozenset[str]:
    """The controls whose word counts under these terms: members of a group, and not in shadow."""
    return frozenset(member for group in terms.groups for member in group.members) - terms.shadow


def _shadow(one: Terms, other: Terms) -> frozenset[str]:
    """What acts under neither side stays in shadow.

    A plain intersection would make a control act that one side has in shadow and the other does not know: a raise from ASL-1 to
    ASL-2 would block what neither level blocks.
    """
    return (one.shadow | other.shadow) - acting(one) - acting(other)


def join_groups(groups: Iterable[Group]) -> frozenset[Group]:
    """Groups of the same duty become one with the stricter failure mode and the shorter deadline; others stay beside each other."""
    joined: dict[tuple[object, ...], Group] = {}
    for group in groups:
        duty = (group.name, group.standard, group.direction, group.members)
        known = joined.get(duty, group)
        failure, deadline = max(known.on_failure, group.on_failure), min(known.deadline_ms, group.deadline_ms)
        joined[duty] = replace(group, on_failure=failure, deadline_ms=deadline)
    return frozenset(joined.values())


def _smallest(thresholds: Iterable[tuple[str, int]]) -> frozenset[tuple[str, int]]:
    least: dict[str, int] = {}
    for control, value in thresholds:
        least[control] = min(value, least.get(control, value))
    return frozenset(least.items())


def looser(one: Terms, other: Terms) -> bool:
    """Whether ``one`` lets through anything in any respect that ``other`` would not."""
    duties = {(group.name, group.standard, group.direction, group.members): group for group in one.groups}
    return (
        not one.level.covers(other.level)
        or one.standing < other.standing
        or any(
            _lacks(duties.get((group.name, group.standard, group.direction, group.members)), group)
            for group in other.groups
        )
        or not one.rule_sets >= other.rule_sets
        or any(one.threshold(control, 1001) > other.threshold(control, 1001) for control, _ in other.thresholds)
        or not one.refused >= other.refused
        or bool(one.shadow & acting(other))
        or one.hold < other.hold
        or one.screen_budget > other.screen_budget
    )


def _lacks(mine: Group | None, wanted: Group) -> bool:
    return mine is None or mine.on_failure < wanted.on_failure or mine.deadline_ms > wanted.deadline_ms
