"""The level x control table of the README, generated from the profiles so that it never promises more than they do."""

from __future__ import annotations

from collections.abc import Mapping

from gateway.policy.levels import Profile
from gateway.terms import Group, OnFailure, Standing

SERVING = {
    Standing.SERVING: "yes",
    Standing.NOT_ASSESSED: "no: `asl_not_assessed` (a brake to it halts)",
    Standing.HALTED: "no: `asl_serving_halted`",
}


def level_control_table(profiles: Mapping[int, Profile]) -> str:
    """A Markdown table: one row per duty or setting, one column per level."""
    levels = [profiles[asl] for asl in sorted(profiles)]
    duties: dict[str, Group] = {}  # in the order of their levels
    for group in (group for level in levels for group in level.groups):
        duties.setdefault(group.name, group)
    rows = [
        ("serves", [SERVING[level.standing] for level in levels]),
        *((_label(group), [_duty(level, name) for level in levels]) for name, group in duties.items()),
        ("refused features", [", ".join(f"`{feature}`" for feature in sorted(level.refused)) for level in levels]),
        ("answers held", [level.hold.name.lower() for level in levels]),
        ("screening budget (windows)", [f"{level.screen_budget:,}" for level in levels]),
        ("ledger rows kept (days)", [f"{level.retention:,}" for level in levels]),
    ]
    head = ["| | " + " | ".join(f"ASL-{level.asl}" for level in levels) + " |", "|---" * (len(levels) + 1) + "|"]
    return "\n".join([*head, *(_row(name, cells) for name, cells in rows)]) + "\n"


def _row(name: str, cells: list[str]) -> str:
    return f"| {name} | " + " | ".join(cell or "–" for cell in cells) + " |"


def _label(group: Group) -> str:
    return f"`{group.name}` ({group.direction}, {group.standard})"


def _duty(level: Profile, name: str) -> str:
    group = next((group for group in level.groups if group.name == name), None)
    return "" if group is None else _described(group, level.shadow)


def _described(group: Group, shadow: frozenset[str]) -> str:
    """Who judges, in order of preference, and what happens when nobody can. What only watches says so."""
    members = ", else ".join(f"`{member}`{' (watches only)' if member in shadow else ''}" for member in group.members)
    if shadow >= set(group.members):
        return members
    return f"{members}, else {'refused' if group.on_failure is OnFailure.REFUSE else 'passed'}"
