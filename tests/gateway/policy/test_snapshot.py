"""Snapshots: level in force, standing, digests, resolving."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.policies import brake, snapshot

from gateway.errors import ModelNotFound
from gateway.exchange import Caller, Direction
from gateway.policy.snapshot import in_force, resolve, rule_set
from gateway.settings.faults import ConfigInvalid
from gateway.state.base import Declared
from gateway.terms import Level, Rule, Standing

LEVELS = st.builds(Level, st.integers(1, 5), st.integers(1, 5))
RULE = Rule("r-1", "cbrn", frozenset(Direction), "amber kestrel protocol", None, 0, "test")


@given(LEVELS, st.lists(st.integers(1, 5), max_size=4))
def test_level_in_force_is_never_below_record_or_brake(record: Level, braked: list[int]) -> None:
    """The stricter of the record and every open brake."""
    brakes = tuple(brake(asl, identity=f"b-{place}") for place, asl in enumerate(braked))
    level = in_force(Declared("demo-model", record, "x", 1), brakes)
    assert level.covers(record)
    assert all(level.covers(entry.level) for entry in brakes)


@pytest.mark.parametrize(
    ("record", "braked", "standing"),
    [
        (1, None, Standing.SERVING),
        (3, None, Standing.SERVING),
        (4, None, Standing.NOT_ASSESSED),
        (5, None, Standing.HALTED),
        (3, 4, Standing.HALTED),
        (3, 5, Standing.HALTED),
        (4, 5, Standing.HALTED),
        (1, 3, Standing.SERVING),
    ],
)
def test_standing(record: int, braked: int | None, standing: Standing) -> None:
    """A record at ASL-4 is not assessed; a brake to ASL-4 or 5 halts."""
    made = snapshot(record, brakes=(brake(braked),) if braked else ())
    assert made.entries["demo-model"].terms.standing is standing


def test_split_standards_take_groups_of_each() -> None:
    """Deployment groups follow the deployment standard; a halted security standard halts."""
    terms = snapshot(Level(2, 3)).entries["demo-model"].terms
    assert "cbrn_input" not in {group.name for group in terms.groups}
    assert snapshot(Level(2, 5)).entries["demo-model"].terms.standing is Standing.HALTED


def test_names_are_exact() -> None:
    """Canonical names and listed aliases resolve; nothing else does."""
    made = snapshot()
    assert resolve(made, "demo", Caller()) is resolve(made, "demo-model", Caller())
    for name in ("Demo", "demo ", "ｄｅｍｏ", "demo-model/lora", ""):
        with pytest.raises(ModelNotFound):
            resolve(made, name, Caller())


def test_the_digest_covers_what_decides_and_nothing_else() -> None:
    """The same policy has the same digest whatever its revision; anything that judges differently has another."""
    base = snapshot()
    assert snapshot(revision=9).digest == base.digest
    others = [snapshot(2), snapshot(brakes=(brake(5),)), snapshot(rules=(RULE,)), snapshot(classifiers=False)]
    assert len({base.digest, *(other.digest for other in others)}) == 5
    assert base.entries["demo-model"].terms.snapshots == {base.digest}


def test_rule_sets_do_not_depend_on_order() -> None:
    """Equal rules are one rule set."""
    other = Rule("r-2", "cbrn", frozenset({Direction.INPUT}), None, "x{3}", 86_400, "test")
    assert rule_set([RULE, other]) == rule_set([other, RULE])


def test_two_different_rules_under_one_id_are_a_fault() -> None:
    """Neither may be dropped; the same rule twice is one."""
    with pytest.raises(ConfigInvalid, match="two different rules"):
        rule_set([RULE, replace(RULE, literal="another phrase")])
    assert rule_set([RULE, RULE]).rules == (RULE,)
