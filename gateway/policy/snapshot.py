"""The snapshot: the immutable, hashed policy that a replica enforces, and how it is built from settings and store.

Level in force = the stricter of the record's level and every open brake (design rule 4). A record at ASL-4 is *not assessed*, since its
witness does not exist yet; a brake to ASL-4 halts.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

import msgspec

from gateway.errors import ModelNotFound
from gateway.exchange import Caller
from gateway.policy.join import join_groups
from gateway.policy.levels import Profile, without_classifiers
from gateway.settings.faults import ConfigInvalid, Fault
from gateway.settings.model import ModelSettings
from gateway.state.base import Brake, Declared
from gateway.terms import Group, Level, Rule, RuleSet, Standing, Terms


@dataclass(frozen=True, slots=True)
class ModelEntry:
    """One model under one snapshot. ``record`` is its declared level, ``terms.level`` the level in force."""

    name: str
    aliases: tuple[str, ...]
    record: Declared
    brakes: tuple[Brake, ...]
    terms: Terms


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The policy in force. ``digest`` covers everything that decides; ``revision`` is the store's, ``created`` epoch seconds.

    ``classifiers`` is False when the embedded classifiers were switched off, which every surface must say loudly.
    """

    digest: str
    revision: int
    created: int
    classifiers: bool
    entries: Mapping[str, ModelEntry]
    names: Mapping[str, str]  # every exact name and alias -> canonical name


@dataclass(frozen=True, slots=True)
class Material:
    """What a snapshot is built from, besides profiles."""

    models: tuple[ModelSettings, ...]
    declared: tuple[Declared, ...]
    brakes: tuple[Brake, ...]  # open ones
    rules: tuple[Rule, ...]
    revision: int
    classifiers: bool = True
    created: int = 0  # epoch seconds


def rule_set(rules: Iterable[Rule]) -> RuleSet:
    """All rules under one digest, ordered by id. Expired ones stay: they are passed over when matching, by the clock of that moment.

    Raises ConfigInvalid when two different rules have one id (a file has gained the id of an added rule): neither may be dropped.
    """
    found: dict[str, Rule] = {}
    faults = [
        Fault("rules", 0, 0, rule.id, "two different rules have this id; rename the one in a file")
        for rule in rules
        if found.setdefault(rule.id, rule) != rule
    ]
    if faults:
        raise ConfigInvalid(faults)
    ordered = tuple(found[key] for key in sorted(found))
    return RuleSet(_digest([_canonical_rule(rule) for rule in ordered]), ordered)


def _canonical_rule(rule: Rule) -> dict[str, Any]:
    return {
        "id": rule.id,
        "category": rule.category,
        "directions": sorted(rule.directions),
        "literal": rule.literal,
        "pattern": rule.pattern,
        "expires": rule.expires,
        "reason": rule.reason,
    }


def build(profiles: Mapping[int, Profile], material: Material) -> Snapshot:
    """A snapshot. Every registered model must have its declared record (KeyError otherwise: the caller declares them first)."""
    declared = {record.model: record for record in material.declared}
    rules = rule_set(material.rules)
    parts = [_model(profiles, material, model, declared[model.name], rules) for model in material.models]
    parts.sort(key=lambda entry: entry.name)
    digest = _digest({"classifiers": material.classifiers, "models": [_canonical(entry) for entry in parts]})
    entries = {entry.name: _under(entry, digest) for entry in parts}
    names = {name: entry.name for entry in parts for name in (entry.name, *entry.aliases)}
    return Snapshot(
        digest,
        material.revision,
        material.created,
        material.classifiers,
        MappingProxyType(entries),
        MappingProxyType(names),
    )


def resolve(snapshot: Snapshot, model: str, caller: Caller) -> Terms:
    """The terms for a model and a caller: policy = f(level of the resolved model, caller). Raises ModelNotFound."""
    del caller  # every caller is anonymous yet; tiers and grants will join their own terms here
    name = snapshot.names.get(model)
    if name is None:
        raise ModelNotFound("no model is registered under this exact name", param="model")
    return snapshot.entries[name].terms


def in_force(record: Declared, brakes: Iterable[Brake]) -> Level:
    """The stricter of the record's level and every open brake."""
    level = record.level
    for brake in brakes:
        level = level.join(brake.level)
    return level


def _model(
    profiles: Mapping[int, Profile], material: Material, model: ModelSettings, record: Declared, rules: RuleSet
) -> ModelEntry:
    brakes = tuple(brake for brake in material.brakes if brake.model == model.name)
    level = in_force(record, brakes)
    deployment, security = profiles[level.deployment], profiles[level.security]
    if not material.classifiers:
        deployment, security = without_classifiers(deployment), without_classifiers(security)
    terms = Terms(
        model=model.name,
        level=level,
        standing=_standing(profiles, record.level, level),
        groups=join_groups((*_of(deployment, "deployment"), *_of(security, "security"))),
        rule_sets=frozenset({rules}),
        thresholds=frozenset(deployment.thresholds.items()),
        refused=deployment.refused,
        shadow=deployment.shadow,
        hold=deployment.hold,
        screen_budget=deployment.screen_budget,
        snapshots=frozenset(),
        revision=material.revision,
    )
    return ModelEntry(model.name, model.aliases, record, brakes, terms)


def _of(profile: Profile, standard: str) -> tuple[Group, ...]:
    return tuple(group for group in profile.groups if group.standard.value == standard)


def _standing(profiles: Mapping[int, Profile], record: Level, level: Level) -> Standing:
    """A record can leave a model unassessed; a brake that goes beyond what can serve halts."""
    of_record = max(profiles[record.deployment].standing, profiles[record.security].standing)
    of_level = max(profiles[level.deployment].standing, profiles[level.security].standing)
    braked = of_level is not Standing.SERVING and level != record
    return Standing.HALTED if braked else max(of_record, of_level)


def _under(entry: ModelEntry, digest: str) -> ModelEntry:
    """The entry under its snapshot's digest, which could only be known once all entries were."""
    return replace(entry, terms=replace(entry.terms, snapshots=frozenset({digest})))


def _canonical(entry: ModelEntry) -> dict[str, Any]:
    terms = entry.terms
    return {
        "name": entry.name,
        "aliases": sorted(entry.aliases),
        "record": str(entry.record.level),
        "level": str(terms.level),
        "standing": terms.standing.name,
        "groups": sorted(
            [g.name, g.standard.value, g.direction.value, list(g.members), g.on_failure.name, g.deadline_ms]
            for g in terms.groups
        ),
        "rules": sorted(rules.digest for rules in terms.rule_sets),
        "thresholds": sorted(map(list, terms.thresholds)),
        "refused": sorted(terms.refused),
        "shadow": sorted(terms.shadow),
        "hold": terms.hold.name,
        "screen_budget": terms.screen_budget,
        "brakes": sorted([brake.id, str(brake.level)] for brake in entry.brakes),
    }


def _digest(value: Any) -> str:
    return "sha256:" + hashlib.sha256(msgspec.json.encode(value, order="sorted")).hexdigest()
