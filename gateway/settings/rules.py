"""Rules in their published form: lists in YAML files, single objects over the admin API and in the store."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from gateway.exchange import Direction
from gateway.settings.documents import Document, read
from gateway.settings.faults import ConfigInvalid, Fault
from gateway.settings.findings import ordered, validate
from gateway.settings.kinds import Strict
from gateway.terms import Rule

DIRECTIONS = {
    "input": frozenset({Direction.INPUT}),
    "output": frozenset({Direction.OUTPUT}),
    "both": frozenset(Direction),
}


class Match(Strict):
    """What to look for: exactly one of the two."""

    literal: Annotated[str, Field(min_length=3, max_length=1000)] | None = None
    pattern: Annotated[str, Field(min_length=1, max_length=1000)] | None = None

    @model_validator(mode="after")
    def _one(self) -> Match:
        if (self.literal is None) == (self.pattern is None):
            raise ValueError("needs exactly one of literal and pattern")
        return self


class RuleEntry(Strict):
    """One rapid-response rule."""

    id: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
    category: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,31}$")]
    direction: Literal["input", "output", "both"] = "both"
    match: Match
    action: Literal["block"] = "block"
    expires: Annotated[dt.date, Field(ge=dt.date(1970, 1, 1), lt=dt.date(9999, 1, 1))] | None = None
    reason: Annotated[str, Field(min_length=1, max_length=500)]


class RuleList(Strict):
    """A rules file."""

    rules: tuple[RuleEntry, ...]


def to_rule(entry: RuleEntry) -> Rule:
    """The rule as controls know it; it expires at the end of its last day, UTC."""
    expires = 0
    if entry.expires is not None:
        day = dt.datetime.combine(entry.expires, dt.time(), dt.UTC) + dt.timedelta(days=1)
        expires = int(day.timestamp())
    return Rule(
        entry.id,
        entry.category,
        DIRECTIONS[entry.direction],
        entry.match.literal,
        entry.match.pattern,
        expires,
        entry.reason,
    )


def from_rule(rule: Rule) -> dict[str, Any]:
    """The published form of a rule that ``to_rule`` made."""
    direction = next(name for name, directions in DIRECTIONS.items() if directions == rule.directions)
    match = {"literal": rule.literal} if rule.literal is not None else {"pattern": rule.pattern}
    body: dict[str, Any] = {
        "id": rule.id,
        "category": rule.category,
        "direction": direction,
        "match": match,
        "action": "block",
    }
    if rule.expires:
        body["expires"] = dt.datetime.fromtimestamp(rule.expires - 86_400, dt.UTC).date().isoformat()
    return {**body, "reason": rule.reason}


def rule_from(data: Any, source: str) -> Rule:
    """A rule from its published form. Raises ConfigInvalid; ``source`` is named in its faults."""
    return to_rule(validate(RuleEntry, Document(source, data)))


def read_rules(directory: Path, objection: Callable[[Rule], str] = lambda rule: "") -> tuple[Rule, ...]:
    """All rules of all ``*.yaml`` files of a directory, by id. Raises ConfigInvalid with every fault.

    ``objection``: what the matcher has against a rule (a pattern that does not compile, or has no longest span); "" for nothing.
    """
    if not directory.is_dir():
        raise ConfigInvalid([Fault(str(directory), 0, 0, "rules", "is not a directory")])
    found: dict[str, Rule] = {}
    faults: list[Fault] = []
    for path in sorted(directory.glob("*.yaml")):
        try:
            document = _wrapped(read(path))
            entries = validate(RuleList, document).rules
        except ConfigInvalid as error:
            faults += error.faults
            continue
        for index, entry in enumerate(entries):
            rule = to_rule(entry)
            if rule.id in found:
                faults.append(document.fault(("rules", index, "id"), f"rule {rule.id!r} exists already"))
            elif message := objection(rule):
                faults.append(document.fault(("rules", index, "match"), message))
            found[rule.id] = rule
    if faults:
        raise ConfigInvalid(ordered(faults))
    return tuple(found[key] for key in sorted(found))


def _wrapped(document: Document) -> Document:
    """A bare list of rules as if it stood under ``rules:``, so that a fault's key says rules[3].match either way."""
    if not isinstance(document.data, list):
        return document
    places = {("rules", *loc): place for loc, place in document.places.items()}
    faults = tuple(replace(fault, key=f"rules{fault.key}") for fault in document.faults)
    return Document(document.file, {"rules": document.data}, places, faults)
