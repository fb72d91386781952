"""Profiles, records and snapshots for tests, made from the built-in level files."""

from __future__ import annotations

from gateway.policy.levels import Profile, profiles
from gateway.policy.snapshot import Material, Snapshot, build
from gateway.settings.load import levels_of
from gateway.settings.model import ModelSettings, Settings, UpstreamSettings
from gateway.state.base import Brake, Declared
from gateway.terms import Level, Rule


def built_in() -> dict[int, Profile]:
    """The built-in profiles."""
    return profiles(levels_of(Settings(models=(model(),))))


def model(name: str = "demo-model", asl: int = 3, aliases: tuple[str, ...] = ("demo",)) -> ModelSettings:
    """A registered model."""
    return ModelSettings(name=name, aliases=aliases, asl=asl, upstream=UpstreamSettings(url="http://127.0.0.1:9"))


def brake(asl: int, name: str = "demo-model", identity: str = "b-1") -> Brake:
    """An open brake."""
    return Brake(identity, name, Level.both(asl), "incident", "somebody", 1)


def snapshot(
    record: Level | int = 3,
    *,
    brakes: tuple[Brake, ...] = (),
    rules: tuple[Rule, ...] = (),
    revision: int = 1,
    classifiers: bool = True,
) -> Snapshot:
    """A snapshot of one model."""
    level = record if isinstance(record, Level) else Level.both(record)
    declared = (Declared("demo-model", level, "operator", 1),)
    return build(built_in(), Material((model(),), declared, brakes, rules, revision, classifiers))
