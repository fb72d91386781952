"""Values of the policy room for tests: rules, material, snapshots, and strategies for terms."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from gateway.exchange import Direction, Feature
from gateway.policy.join import join_groups
from gateway.policy.levels import Profile, profiles
from gateway.policy.snapshot import Material, Snapshot, build
from gateway.settings.ladder import read_levels
from gateway.settings.load import builtin_dir
from gateway.state.base import Brake, Declared
from gateway.terms import Group, Hold, Level, OnFailure, Rule, RuleSet, Standard, Standing, Terms
from support.config_files import model

CANARY = "amber kestrel protocol"


def rule(name: str = "rr-1", literal: str = CANARY, **change: Any) -> Rule:
    """A rule for the canary phrase."""
    values = {"category": "cbrn", "directions": frozenset(Direction), "pattern": None, "expires": 0, "reason": "x"}
    return Rule(id=name, literal=literal, **{**values, **change})


def record(name: str = "m", asl: int = 3, security: int | None = None) -> Declared:
    """A declared record."""
    return Declared(name, Level(asl, security or asl), "operator", 1)


def brake(name: str = "b-1", asl: int = 5, of: str = "m", security: int | None = None) -> Brake:
    """An open brake."""
    return Brake(name, of, Level(asl, security or asl), "incident 12", "alice", 100)


def built_in() -> dict[int, Profile]:
    """The profiles that ship."""
    return profiles(read_levels(builtin_dir() / "levels"))


def material(asl: int = 3, *, brakes: tuple[Brake, ...] = (), **others: Any) -> Material:
    """One model ``m`` with the alias ``n``, on record at a level."""
    values = {
        "models": (model(aliases=("n",)),),
        "declared": (record(asl=asl),),
        "rules": (),
        "revision": 7,
    }
    return Material(brakes=brakes, **{**values, **others})


def snapshot(asl: int = 3, **others: Any) -> Snapshot:
    """A snapshot of that, under the profiles that ship."""
    return build(built_in(), material(asl, **others))


CONTROLS = st.sampled_from(["rules", "halt", "harm_screen", "input_screen"])
GROUPS = st.builds(
    Group,
    name=st.sampled_from(["a", "b"]),
    standard=st.sampled_from(Standard),
    direction=st.sampled_from(Direction),
    members=st.lists(CONTROLS, min_size=1, max_size=2).map(tuple),
    on_failure=st.sampled_from(OnFailure),
    deadline_ms=st.integers(1, 3),
)
# Terms as policy makes them: one group a duty, one threshold a control.
TERMS = st.builds(
    Terms,
    model=st.just("m"),
    level=st.builds(Level, st.integers(1, 5), st.integers(1, 5)),
    standing=st.sampled_from(Standing),
    groups=st.frozensets(GROUPS, max_size=4).map(join_groups),
    rule_sets=st.frozensets(st.sampled_from([RuleSet(digest, ()) for digest in "abc"])),
    thresholds=st.dictionaries(CONTROLS, st.integers(1, 3)).map(lambda found: frozenset(found.items())),
    refused=st.frozensets(st.sampled_from(Feature)),
    shadow=st.frozensets(CONTROLS),
    hold=st.sampled_from(Hold),
    screen_budget=st.integers(1, 3),
    snapshots=st.frozensets(st.sampled_from("abc")),
    revision=st.integers(0, 3),
)
