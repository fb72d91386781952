"""Snapshots: level in force, digests, exact names."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.config_files import faults_of, model
from support.policy_values import brake, built_in, material, record, rule, snapshot

from gateway.errors import ModelNotFound
from gateway.exchange import Caller, Direction
from gateway.policy.levels import CLASSIFIED
from gateway.policy.snapshot import build, in_force, resolve, rule_set
from gateway.terms import Group, Hold, Level, Standard, Standing

LEVELS = st.builds(Level, st.integers(1, 5), st.integers(1, 5))


@given(level=LEVELS, others=st.lists(LEVELS, max_size=4))
def test_the_strictest_of_record_and_brakes_is_in_force(level: Level, others: list[Level]) -> None:
    """In both standards, whatever the order (design rule 4)."""
    brakes = [brake(str(n), other.deployment, security=other.security) for n, other in enumerate(others)]
    found = in_force(record(asl=level.deployment, security=level.security), brakes)
    assert found == in_force(record(asl=level.deployment, security=level.security), reversed(brakes))
    assert found.deployment == max([level.deployment, *(other.deployment for other in others)])
    assert found.security == max([level.security, *(other.security for other in others)])


@pytest.mark.parametrize(
    ("asl", "brakes", "standing"),
    [
        (3, (), Standing.SERVING),
        (1, (brake(asl=3),), Standing.SERVING),
        (3, (brake(asl=4),), Standing.HALTED),
        (3, (brake(asl=5),), Standing.HALTED),
        (3, (brake(asl=3, security=4),), Standing.HALTED),
        (4, (), Standing.NOT_ASSESSED),
        (4, (brake(asl=2),), Standing.NOT_ASSESSED),
        (4, (brake(asl=5),), Standing.HALTED),
        (5, (), Standing.HALTED),
    ],
)
def test_a_record_leaves_unassessed_and_a_brake_halts(asl: int, brakes: tuple[Any, ...], standing: Standing) -> None:
    """ASL-4 on record is not assessed; raised to it, the model is halted; ASL-5 halts either way."""
    assert snapshot(asl, brakes=brakes).entries["m"].terms.standing is standing


def test_a_record_whose_security_is_not_offered_does_not_serve() -> None:
    """The two standards are held against their own levels."""
    terms = snapshot(declared=(record(asl=3, security=4),)).entries["m"].terms
    assert terms.standing is Standing.NOT_ASSESSED
    assert str(terms.level) == "asl-3/security-4"


def test_brakes_hold_only_their_model() -> None:
    """A brake of another model changes nothing here."""
    entry = snapshot(brakes=(brake(of="other"),)).entries["m"]
    assert entry.brakes == ()
    assert entry.terms.level == Level.both(3)


def test_each_standard_brings_its_own_groups() -> None:
    """Deployment groups come from the deployment level, security groups from the security level."""
    profiles = built_in()
    guard = Group("weights", Standard.SECURITY, Direction.OUTPUT, ("rules",))
    profiles[3] = dataclasses.replace(profiles[3], groups=(*profiles[3].groups, guard))
    for deployment, security, expected in ((1, 3, True), (3, 1, False)):
        made = build(profiles, material(declared=(record(asl=deployment, security=security),)))
        groups = made.entries["m"].terms.groups
        assert (guard in groups) is expected
        assert any(group.name == "cbrn_input" for group in groups) is (deployment == 3)


def test_names_are_exact() -> None:
    """The name and its listed aliases resolve; anything like them does not."""
    made = snapshot()
    for name in ("m", "n"):
        assert resolve(made, name, Caller()).model == "m"
    for name in ("M", "m ", " m", "m\x00", "ｍ", "", "m/n", "models/m"):
        with pytest.raises(ModelNotFound):
            resolve(made, name, Caller())


def test_a_caller_changes_nothing_yet() -> None:
    """Only tiers and grants will, and there are none."""
    made = snapshot()
    assert resolve(made, "m", Caller("c", "trusted")) == resolve(made, "m", Caller())


def test_a_model_without_a_record_is_not_built() -> None:
    """Nothing is assumed in its place."""
    with pytest.raises(KeyError):
        snapshot(declared=())


def test_a_snapshot_does_not_change() -> None:
    """Neither its fields nor its mappings can be written."""
    made = snapshot()
    with pytest.raises(TypeError):
        made.entries["x"] = made.entries["m"]  # type: ignore[index]  # that it cannot be assigned is the claim
    with pytest.raises(dataclasses.FrozenInstanceError):
        made.revision = 8  # type: ignore[misc]  # that it cannot be assigned is the claim


CHANGES: dict[str, dict[str, Any]] = {
    "record": {"declared": (record(asl=2),)},
    "brake": {"brakes": (brake(asl=3),)},
    "rules": {"rules": (rule(),)},
    "alias": {"models": (model(aliases=("n", "o")),)},
    "classifiers": {"classifiers": False},
}


@pytest.mark.parametrize("change", CHANGES)
def test_whatever_decides_is_in_the_digest(change: str) -> None:
    """Each change makes another digest."""
    assert snapshot(**CHANGES[change]).digest != snapshot().digest


@pytest.mark.parametrize("field", ["standing", "thresholds", "shadow", "refused", "hold", "screen_budget", "groups"])
def test_every_part_of_a_profile_is_in_the_digest(field: str) -> None:
    """A profile that differs in one field makes another digest."""
    profiles = built_in()
    three = profiles[3]
    values = {
        "standing": Standing.HALTED,
        "thresholds": {"input_screen": 5},
        "shadow": frozenset(),
        "refused": frozenset(),
        "hold": Hold.WHOLE,
        "screen_budget": 1,
        "groups": three.groups[1:],
    }
    other = {**profiles, 3: dataclasses.replace(three, **{field: values[field]})}
    assert build(other, material()).digest != build(profiles, material()).digest


def test_order_and_time_are_not_in_the_digest() -> None:
    """The same policy has the same digest on every replica, whenever and in whatever order it was built."""
    models, records = (model("a"), model("b")), (record("a"), record("b"))
    one = snapshot(models=models, declared=records, rules=(rule("x"), rule("y")), revision=1, created=1)
    two = snapshot(models=models[::-1], declared=records[::-1], rules=(rule("y"), rule("x")), revision=2, created=2)
    assert one.digest == two.digest
    assert (two.revision, two.created) == (2, 2)
    assert two.entries["a"].terms.snapshots == {two.digest}
    assert two.entries["a"].terms.revision == 2


def test_without_classifiers_the_snapshot_says_so() -> None:
    """No group names one, and the flag is there for every surface to show."""
    made = snapshot(classifiers=False)
    assert made.classifiers is False
    assert not any(CLASSIFIED & set(group.members) for group in made.entries["m"].terms.groups)


def test_equal_rules_have_equal_digests_and_others_do_not() -> None:
    """Every field of a rule is in its set's digest; the same rule twice is one."""
    assert rule_set([rule("a"), rule("b")]) == rule_set([rule("b"), rule("a"), rule("a")])
    variants = [
        rule(),
        rule("rr-2"),
        rule(literal="another phrase"),
        rule(literal=None, pattern="a{1,3}"),
        rule(expires=1),
        rule(reason="y"),
        rule(category="cyber"),
        rule(directions=frozenset({Direction.INPUT})),
    ]
    assert len({rule_set([variant]).digest for variant in variants}) == len(variants)
    assert rule_set([]).digest.startswith("sha256:")


def test_expired_rules_stay_in_the_snapshot() -> None:
    """The clock decides when matching, never when building."""
    assert [found.id for found in rule_set([rule(expires=1)]).rules] == ["rr-1"]


def test_two_rules_with_one_id_are_refused() -> None:
    """Neither may be dropped, so the new policy is not built."""
    (fault,) = faults_of(lambda: snapshot(rules=(rule(), rule(literal="another phrase"))))
    assert fault.key == "rr-1"
