"""What people do to the policy: declare at start, raise, release, add and remove rules. Each is one write to the store."""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NoReturn

import msgspec

from gateway.policy.snapshot import in_force
from gateway.settings.faults import ConfigInvalid, Fault
from gateway.settings.rules import from_rule, rule_from
from gateway.state.base import Brake, Declared, Store, StoredRule
from gateway.terms import Level, Rule

MAX_TEXT = 500


class ChangeRefused(Exception):
    """The change is not possible; ``code`` is a stable slug.

    ``permission``: it would take more than this caller can bring (a new record, a second person).
    """

    def __init__(self, code: str, message: str, *, permission: bool = False) -> None:
        super().__init__(message)
        self.code = code
        self.permission = permission


@dataclass(frozen=True, slots=True)
class Actor:
    """Who changes the policy, why, and when (epoch seconds). Raises ChangeRefused("reason_required") without owner or reason."""

    owner: str
    reason: str
    at: int

    def __post_init__(self) -> None:
        """A change without a name or a reason cannot be answered for; both are shown on terminals."""
        for name, text in (("owner", self.owner), ("reason", self.reason)):
            if not text.strip():
                raise ChangeRefused("reason_required", f"{name} must not be empty")
            if len(text) > MAX_TEXT or not text.isprintable():
                raise ChangeRefused(
                    "reason_invalid", f"{name} must be one printable line of at most {MAX_TEXT} characters"
                )


def declare(store: Store, model: str, level: Level, actor: Actor) -> Declared:
    """Declare a model's level at start: the stricter of stored and given is in force (rule 4). The same level again changes nothing.

    Raises ChangeRefused("level_lower") when the given level is lower than the stored one in either standard.
    """
    while True:
        stored = next((record for record in store.declared() if record.model == model), None)
        if stored is not None and not level.covers(stored.level):
            raise ChangeRefused(
                "level_lower",
                f"{model} is on record at {stored.level}; starting it at {level} would lower it, "
                "which takes a new record with new evidence",
            )
        if stored is not None and stored.level == level:
            return stored
        record = Declared(model, level, actor.owner, actor.at)
        try:
            store.declare(record, replacing=stored)
        except KeyError:
            continue  # another process declared it in between: hold the given level against that
        return record


def _record(store: Store, model: str) -> Declared:
    record = next((record for record in store.declared() if record.model == model), None)
    if record is None:
        raise ChangeRefused("unknown_model", f"no model is registered as {model!r}")
    return record


def raise_level(store: Store, model: str, level: Level, actor: Actor) -> Brake:
    """Open a brake, in force at once. Several may be open at a time: each is its owner's until it is released.

    Raises ChangeRefused("unknown_model"), or ("not_a_raise") when the record alone is as strict already.
    """
    record = _record(store, model)
    if record.level.covers(level):
        raise ChangeRefused("not_a_raise", f"{model} is on record at {record.level} already; a brake must be stricter")
    brake = Brake(f"b-{secrets.token_hex(6)}", model, level, actor.reason, actor.owner, actor.at)
    store.add_brake(brake)
    return brake


def release(store: Store, target: str, actor: Actor, *, attested: bool = False) -> tuple[Brake, ...]:
    """Release one brake by its id, or all open brakes of a model: back to its record, never below it.

    ``attested``: identities are proven (a trust root exists). Then nobody releases a brake of their own. Without it one person may;
    whoever records the release must call it unattested, since nothing proves that a second person did it.
    Raises ChangeRefused("no_open_brake") where there is none, also when the record itself halts the model, or ("second_person_required").
    """
    brakes = [brake for brake in store.open_brakes() if target in {brake.id, brake.model}]
    if attested and any(brake.owner == actor.owner for brake in brakes):
        message = f"a brake that {actor.owner} opened is released by somebody else"
        raise ChangeRefused("second_person_required", message, permission=True)
    released: list[Brake] = []
    for brake in brakes:
        try:
            released.append(store.release_brake(brake.id, by=actor.owner, reason=actor.reason, at=actor.at))
        except KeyError:
            continue  # somebody else released it in between, which is what was wanted
    if not released:
        raise ChangeRefused("no_open_brake", f"{target} has no open brake; its record is changed by a new record only")
    return tuple(released)


def lower(store: Store, model: str, level: Level) -> NoReturn:
    """Never possible by a command: going below the record takes new evidence, two people and 24 hours.

    Raises ChangeRefused("unknown_model"), otherwise always ("needs_record").
    """
    now = in_force(_record(store, model), (brake for brake in store.open_brakes() if brake.model == model))
    message = f"{model} is at {now}; lowering it to {level} needs a new record (a brake is taken back by releasing it)"
    raise ChangeRefused("needs_record", message, permission=True)


def add_rule(store: Store, rule: Rule, taken: Iterable[str], actor: Actor) -> None:
    """Add a rule. Raises ChangeRefused("rule_exists") when its id is taken by a file or another added rule."""
    body = msgspec.json.encode(from_rule(rule), order="sorted").decode()
    exists = ChangeRefused("rule_exists", f"there is a rule {rule.id!r} already")
    if rule.id in set(taken):
        raise exists
    try:
        store.add_rule(StoredRule(rule.id, body, actor.owner, actor.at))
    except KeyError as error:
        raise exists from error


def remove_rule(store: Store, rule_id: str, from_files: Iterable[str]) -> None:
    """Remove an added rule. Raises ChangeRefused("rule_from_file") for a rule of a file, ("unknown_rule") for none."""
    if rule_id in set(from_files):
        raise ChangeRefused("rule_from_file", f"rule {rule_id!r} comes from a file; remove it there and reload")
    try:
        store.remove_rule(rule_id)
    except KeyError as error:
        raise ChangeRefused("unknown_rule", f"there is no added rule {rule_id!r}") from error


def added_rules(store: Store) -> tuple[Rule, ...]:
    """The rules of the store. Raises ConfigInvalid when one cannot be read: a rule is never silently dropped."""
    return tuple(_decoded(stored) for stored in store.rules())


def _decoded(stored: StoredRule) -> Rule:
    source = f"added rule {stored.id}"
    try:
        data = msgspec.json.decode(stored.body)
    except msgspec.DecodeError as error:
        raise ConfigInvalid([Fault(source, 0, 0, "", "is not JSON")]) from error
    rule = rule_from(data, source)
    if rule.id != stored.id:
        raise ConfigInvalid([Fault(source, 0, 0, "id", f"holds the rule {rule.id!r}")])
    return rule
