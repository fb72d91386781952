"""Changes of the policy: what people may do, and what nobody may."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.config_files import faults_of
from support.fake_store import FakeStore
from support.policy_values import rule

from gateway.policy import changes
from gateway.policy.changes import Actor, ChangeRefused
from gateway.policy.snapshot import in_force
from gateway.state.base import Declared, StoredRule
from gateway.terms import Level, Rule

ALICE, BOB = Actor("alice", "incident 12", 100), Actor("bob", "all clear", 200)
LEVELS = st.builds(Level, st.integers(1, 5), st.integers(1, 5))


@pytest.fixture
def store() -> FakeStore:
    """A store with the model ``m`` on record at ASL-3."""
    made = FakeStore()
    changes.declare(made, "m", Level.both(3), ALICE)
    return made


def refused(act: Callable[[], Any]) -> tuple[str, bool]:
    """The code of a refusal, and whether it is one of permission."""
    with pytest.raises(ChangeRefused) as caught:
        act()
    return caught.value.code, caught.value.permission


@pytest.mark.parametrize(
    ("owner", "reason", "code"),
    [
        ("", "r", "reason_required"),
        ("o", " ", "reason_required"),
        ("o", "\t\n", "reason_required"),
        ("o\n", "r", "reason_invalid"),
        ("o", "r\x1b[2J", "reason_invalid"),
        ("o", "r" * 501, "reason_invalid"),
    ],
)
def test_a_change_has_a_name_and_a_reason(owner: str, reason: str, code: str) -> None:
    """Neither is empty, endless, or able to play with a terminal."""
    assert refused(lambda: Actor(owner, reason, 1)) == (code, False)


def test_the_first_declaration_is_kept(store: FakeStore) -> None:
    """As a provisional record, by the operator."""
    assert store.declared() == (Declared("m", Level.both(3), "alice", 100, "declared by the operator"),)


def test_the_same_level_again_changes_nothing(store: FakeStore) -> None:
    """Neither the record nor the revision."""
    before = store.revision()
    assert changes.declare(store, "m", Level.both(3), BOB).declared_by == "alice"
    assert store.revision() == before


@given(first=LEVELS, second=LEVELS)
def test_starting_again_never_lowers(first: Level, second: Level) -> None:
    """The given level replaces the stored one only where it covers it; otherwise starting is refused."""
    store = FakeStore()
    changes.declare(store, "m", first, ALICE)
    if second.covers(first):
        assert changes.declare(store, "m", second, BOB).level == second
    else:
        assert refused(lambda: changes.declare(store, "m", second, BOB)) == ("level_lower", False)
    assert store.declared()[0].level.covers(first)


def test_a_raise_opens_a_brake(store: FakeStore) -> None:
    """At once, with owner, reason and time."""
    opened = changes.raise_level(store, "m", Level.both(5), ALICE)
    assert store.open_brakes() == (opened,)
    assert (opened.owner, opened.reason, opened.opened, opened.model) == ("alice", "incident 12", 100, "m")
    assert opened.id.startswith("b-")


def test_each_person_may_have_a_brake(store: FakeStore) -> None:
    """A second one at the same or a lower level counts when the first is released."""
    first = changes.raise_level(store, "m", Level.both(5), ALICE)
    changes.raise_level(store, "m", Level.both(4), BOB)
    changes.release(store, first.id, BOB)
    assert in_force(store.declared()[0], store.open_brakes()) == Level.both(4)


@pytest.mark.parametrize("level", [Level.both(1), Level.both(3), Level(2, 3)])
def test_a_brake_is_stricter_than_the_record(store: FakeStore, level: Level) -> None:
    """One that could never count is refused."""
    assert refused(lambda: changes.raise_level(store, "m", level, ALICE)) == ("not_a_raise", False)
    assert store.open_brakes() == ()


def test_one_standard_is_enough_to_raise(store: FakeStore) -> None:
    """A brake on security alone counts."""
    changes.raise_level(store, "m", Level(1, 4), ALICE)
    assert in_force(store.declared()[0], store.open_brakes()) == Level(3, 4)


def test_an_unknown_model_cannot_be_changed(store: FakeStore) -> None:
    """Neither raised nor lowered nor released."""
    assert refused(lambda: changes.raise_level(store, "x", Level.both(5), ALICE)) == ("unknown_model", False)
    assert refused(lambda: changes.lower(store, "x", Level.both(1))) == ("unknown_model", False)
    assert refused(lambda: changes.release(store, "x", ALICE)) == ("no_open_brake", False)


def test_release_closes_all_brakes_of_the_model_and_no_others(store: FakeStore) -> None:
    """Back to the record."""
    changes.declare(store, "other", Level.both(1), ALICE)
    opened = [changes.raise_level(store, "m", Level.both(asl), ALICE).id for asl in (4, 5)]
    kept = changes.raise_level(store, "other", Level.both(5), ALICE)
    released = changes.release(store, "m", BOB)
    assert sorted(found.id for found in released) == sorted(opened)
    assert {found.released_by for found in released} == {"bob"}
    assert store.open_brakes() == (kept,)
    assert in_force(store.declared()[0], ()) == Level.both(3)


def test_nothing_open_is_nothing_to_release() -> None:
    """Also where the record itself halts: ASL-5 on record is un-halted by a new record only."""
    store = FakeStore()
    changes.declare(store, "m", Level.both(5), ALICE)
    assert refused(lambda: changes.release(store, "m", BOB)) == ("no_open_brake", False)
    assert store.declared()[0].level == Level.both(5)


def test_where_identities_are_proven_a_second_person_releases(store: FakeStore) -> None:
    """Not the one who opened any of the brakes; without proof one person may."""
    changes.raise_level(store, "m", Level.both(4), BOB)
    changes.raise_level(store, "m", Level.both(5), ALICE)
    assert refused(lambda: changes.release(store, "m", ALICE, attested=True)) == ("second_person_required", True)
    assert len(store.open_brakes()) == 2
    carol = Actor("carol", "all clear", 300)
    assert len(changes.release(store, "m", carol, attested=True)) == 2
    changes.raise_level(store, "m", Level.both(5), ALICE)
    assert len(changes.release(store, "m", ALICE)) == 1


class Slow(FakeStore):
    """A store whose list of open brakes is a moment old: the brakes named are released in between."""

    def __init__(self) -> None:
        super().__init__()
        self.meanwhile: set[str] = set()

    def release_brake(self, brake_id: str, **how: Any) -> Any:
        """Somebody else is faster for some."""
        if brake_id in self.meanwhile:
            raise KeyError(brake_id)
        return super().release_brake(brake_id, **how)


def test_a_brake_that_somebody_else_released_is_no_fault() -> None:
    """What is left is released; when nothing is left, that is said."""
    store = Slow()
    changes.declare(store, "m", Level.both(3), ALICE)
    one, two = (changes.raise_level(store, "m", Level.both(5), ALICE) for _ in range(2))
    store.meanwhile = {one.id}
    assert [found.id for found in changes.release(store, "m", BOB)] == [two.id]
    assert refused(lambda: changes.release(store, "m", BOB)) == ("no_open_brake", False)


@pytest.mark.parametrize("asl", [1, 2, 3, 5])
def test_nothing_is_lowered_by_a_command(store: FakeStore, asl: int) -> None:
    """It always takes a new record, which is more than a command can bring."""
    changes.raise_level(store, "m", Level.both(5), ALICE)
    before = store.revision()
    assert refused(lambda: changes.lower(store, "m", Level.both(asl))) == ("needs_record", True)
    assert store.revision() == before


def test_a_rule_is_added_and_removed(store: FakeStore) -> None:
    """It comes back as it was."""
    changes.add_rule(store, rule(), (), ALICE)
    assert changes.added_rules(store) == (rule(),)
    changes.remove_rule(store, "rr-1", ())
    assert changes.added_rules(store) == ()


def test_an_id_is_given_once(store: FakeStore) -> None:
    """Neither a rule of a file nor an added one is replaced."""
    changes.add_rule(store, rule(), (), ALICE)
    other: Rule = rule(literal="another phrase")
    assert refused(lambda: changes.add_rule(store, other, (), ALICE)) == ("rule_exists", False)
    assert refused(lambda: changes.add_rule(store, rule("f"), ("f",), ALICE)) == ("rule_exists", False)
    assert changes.added_rules(store) == (rule(),)


def test_only_added_rules_are_removed(store: FakeStore) -> None:
    """One of a file is removed there, and one that is not there nowhere."""
    assert refused(lambda: changes.remove_rule(store, "f", ("f",))) == ("rule_from_file", False)
    assert refused(lambda: changes.remove_rule(store, "x", ())) == ("unknown_rule", False)


@pytest.mark.parametrize("body", ["{", "{}", "[]", '{"id": "rr-1"}'])
def test_an_added_rule_that_cannot_be_read_is_a_fault(store: FakeStore, body: str) -> None:
    """It is never silently dropped."""
    store.add_rule(StoredRule("rr-1", body, "o", 1))
    assert all(fault.file == "added rule rr-1" for fault in faults_of(lambda: changes.added_rules(store)))


def test_an_added_rule_under_another_id_is_a_fault(store: FakeStore) -> None:
    """The id of the row is that of the rule."""
    changes.add_rule(store, rule(), (), ALICE)
    (stored,) = store.rules()
    store.add_rule(StoredRule("rr-2", stored.body, "o", 1))
    assert [fault.key for fault in faults_of(lambda: changes.added_rules(store))] == ["id"]
