"""What the admin API shows of the policy, and the ledger rows of what people change; shapes of docs/contract.md."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from gateway.console.problems import Problem
from gateway.ledger.base import Field
from gateway.policy.changes import Actor
from gateway.policy.snapshot import ModelEntry, Snapshot
from gateway.state.base import Brake
from gateway.terms import Level, Rule


def model(entry: ModelEntry, *, unattested: bool) -> dict[str, Any]:
    """One model: record, brakes, level in force."""
    brakes = [
        {
            "id": brake.id,
            "model": brake.model,
            "level": str(brake.level),
            "owner": brake.owner,
            "reason": brake.reason,
            "opened": brake.opened,
        }
        for brake in entry.brakes
    ]
    record = {"level": str(entry.record.level), "status": "provisional", "basis": entry.record.basis}
    return {
        "model": entry.name,
        "aliases": list(entry.aliases),
        "in_force": str(entry.terms.level),
        "standing": entry.terms.standing.name.lower(),
        "record": record,
        "brakes": brakes,
        "unattested": unattested,
    }


def level(text: object) -> Level:
    """``asl-1`` to ``asl-5``. Raises Problem."""
    match = re.fullmatch(r"asl-([1-5])", text) if isinstance(text, str) else None
    if match is None:
        raise Problem(422, "invalid_level", "level is one of asl-1 to asl-5")
    return Level.both(int(match[1]))


def rules_of(snapshot: Snapshot) -> list[Rule]:
    """All rules in force, by id."""
    found = {
        rule.id: rule for entry in snapshot.entries.values() for rules in entry.terms.rule_sets for rule in rules.rules
    }
    return [found[key] for key in sorted(found)]


def brake_row(act: str, brake: Brake) -> dict[str, Field]:
    """The ledger row of a brake."""
    return {
        "act": act,
        "id": brake.id,
        "model": brake.model,
        "level": str(brake.level),
        "owner": brake.owner,
        "reason": brake.reason,
    }


def release_row(name: str, brakes: Iterable[Brake], actor: Actor, *, unattested: bool) -> dict[str, Field]:
    """The ledger row of a release."""
    ids = ",".join(brake.id for brake in brakes)
    return {
        "act": "release",
        "id": ids,
        "model": name,
        "owner": actor.owner,
        "reason": actor.reason,
        "unattested": int(unattested),
    }


def rule_row(act: str, rule: str, reason: str) -> dict[str, Field]:
    """The ledger row of a rule that was added or removed."""
    return {"act": act, "id": rule, "owner": "operator", "reason": reason}
