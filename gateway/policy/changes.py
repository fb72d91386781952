"""What people do to the policy: declare at start, raise, release, add and remove rules. Each is one write to the store."""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from dataclasses import dataclass

import msgspec

from gateway.policy.snapshot import in_force
from gateway.settings.rules import from_rule, rule_from
from gateway.state.base import Brake, Declared, Store, StoredRule
from gateway.terms import Level, Rule


class ChangeRefused(Exception):
    """The change is not possible; ``code`` is a stable slug."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True, slots=True)
class Actor:
    """Who changes the policy, why, and when (epoch seconds)."""

    owner: str
    reason: str
    at: int

    def __post_init__(self) -> None:
        """A change without a name or a reason cannot be answered for."""
        if not self.owner.strip() or not self.reason.strip():
            raise ChangeRefused("reason_required", "owner and reason must not be empty")


def declare(store: Store, model: str, level: Level, actor: Actor) -> Declared:
    """Declare a model's level at start: the stricter of stored and given is in force (rule 4).

    Raises ChangeRefused("level_lower", …) when the given level is lower than the stored one.
    """
    stored = next((record for record in store.declared() if record.model == model), None)
    if stored is not None and not level.covers(stored.level):
        raise ChangeRefused(
            "level_lower",
            f"{model} is on record at {stored.level}; starting it at {level} would lower it, which takes a new record with new evidence",
        )
    if stored is not None and stored.level == level:
        return stored
    record = Declared(model, level, actor.owner, actor.at)
    store.declare(record)
    return record


def raise_level(store: Store, model: str, level: Level, actor: Actor) -> Brake:
    """Open a brake. Raises ChangeRefused when it would not be stricter than what is in force."""
    record = next((record for record in store.declared() if record.model == model), None)
    if record is None:
        raise ChangeRefused("unknown_model", f"no model is registered as {model!r}")
    now = in_force(record, (brake for brake in store.open_brakes() if brake.model == model))
    if now.covers(level):
        raise ChangeRefused("not_a_raise", f"{model} is at {now} already; a brake must be stricter")
    brake = Brake(f"b-{secrets.token_hex(6)}", model, level, actor.reason, actor.owner, actor.at)
    store.add_brake(brake)
    return brake


def release(store: Store, model: str, actor: Actor) -> tuple[Brake, ...]:
    """Release all open brakes of a model: back to its record. One person may do it while there is no trust root (unattested).

    Raises ChangeRefused when none is open.
    """
    brakes = [brake for brake in store.open_brakes() if brake.model == model]
    if not brakes:
        raise ChangeRefused("no_open_brake", f"{model} has no open brake")
    return tuple(store.release_brake(brake.id, by=actor.owner, reason=actor.reason, at=actor.at) for brake in brakes)


def add_rule(store: Store, rule: Rule, taken: Iterable[str], actor: Actor) -> None:
    """Add a rule. Raises ChangeRefused when its id is taken by a file or another added rule."""
    body = msgspec.json.encode(from_rule(rule), order="sorted").decode()
    exists = ChangeRefused("rule_exists", f"there is a rule {rule.id!r} already")
    if rule.id in set(taken):
        raise exists
    try:
        store.add_rule(StoredRule(rule.id, body, actor.owner, actor.at))
    except KeyError as error:
        raise exists from error


def remove_rule(store: Store, rule_id: str, from_files: Iterable[str]) -> None:
    """Remove an added rule. Raises ChangeRefused for a rule of a file, and for none."""
    if rule_id in set(from_files):
        raise ChangeRefused("rule_from_file", f"rule {rule_id!r} comes from a file; remove it there and reload")
    try:
        store.remove_rule(rule_id)
    except KeyError as error:
        raise ChangeRefused("unknown_rule", f"there is no added rule {rule_id!r}") from error


def added_rules(store: Store) -> tuple[Rule, ...]:
    """The rules of the store. Raises ConfigInvalid when one cannot be read: a rule is never silently dropped."""
    return tuple(rule_from(msgspec.json.decode(rule.body), f"added rule {rule.id}") for rule in store.rules())
