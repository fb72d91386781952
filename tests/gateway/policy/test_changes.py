"""What people do to the policy: raise, release, declare, rules; and what they cannot do."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.exchange import Direction
from gateway.policy import changes
from gateway.policy.changes import Actor, ChangeRefused
from gateway.settings.faults import ConfigInvalid
from gateway.state.base import StoredRule
from gateway.state.sqlite import SqliteStore
from gateway.terms import Level, Rule

ACTOR = Actor("somebody", "because", 10)
RULE = Rule("r-1", "cbrn", frozenset(Direction), "amber kestrel protocol", None, 0, "test")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    """A real store."""
    made = SqliteStore(tmp_path / "gateway.db")
    yield made
    made.close()


def refused(code: str, act: object) -> None:
    """The act is refused under this code."""
    assert callable(act)
    with pytest.raises(ChangeRefused) as error:
        act()
    assert error.value.code == code


def test_a_declared_level_only_rises(store: SqliteStore) -> None:
    """Started again lower is refused; higher replaces; the same changes nothing."""
    assert changes.declare(store, "m", Level.both(2), ACTOR).level == Level.both(2)
    revision = store.revision()
    changes.declare(store, "m", Level.both(2), ACTOR)
    assert store.revision() == revision
    changes.declare(store, "m", Level.both(3), ACTOR)
    refused("level_lower", lambda: changes.declare(store, "m", Level.both(2), ACTOR))
    assert store.declared()[0].level == Level.both(3)


def test_raise_and_release(store: SqliteStore) -> None:
    """A brake is stricter than the record, or refused; release closes all of a model, or one by its id."""
    changes.declare(store, "m", Level.both(2), ACTOR)
    refused("unknown_model", lambda: changes.raise_level(store, "other", Level.both(5), ACTOR))
    refused("not_a_raise", lambda: changes.raise_level(store, "m", Level.both(2), ACTOR))
    changes.raise_level(store, "m", Level.both(3), ACTOR)
    changes.raise_level(store, "m", Level.both(5), ACTOR)
    assert len(changes.release(store, "m", ACTOR)) == 2
    assert not store.open_brakes()
    refused("no_open_brake", lambda: changes.release(store, "m", ACTOR))
    one = changes.raise_level(store, "m", Level.both(5), ACTOR)
    assert [brake.id for brake in changes.release(store, one.id, ACTOR)] == [one.id]


def test_with_proven_identities_nobody_releases_their_own_brake(store: SqliteStore) -> None:
    """The second person of rule 4, once there is a trust root."""
    changes.declare(store, "m", Level.both(2), ACTOR)
    changes.raise_level(store, "m", Level.both(5), ACTOR)
    refused("second_person_required", lambda: changes.release(store, "m", ACTOR, attested=True))
    assert changes.release(store, "m", Actor("another", "all clear", 11), attested=True)


def test_a_release_that_somebody_else_made_first_is_no_error(
    store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two people who release at once both get what they wanted, or hear that nothing was left."""
    changes.declare(store, "m", Level.both(2), ACTOR)
    brake = changes.raise_level(store, "m", Level.both(5), ACTOR)
    monkeypatch.setattr(store, "open_brakes", lambda: (brake,))
    changes.release(store, "m", ACTOR)
    refused("no_open_brake", lambda: changes.release(store, "m", ACTOR))


def test_lowering_always_needs_a_record(store: SqliteStore) -> None:
    """No command lowers a level."""
    changes.declare(store, "m", Level.both(3), ACTOR)
    refused("needs_record", lambda: changes.lower(store, "m", Level.both(2)))
    refused("unknown_model", lambda: changes.lower(store, "other", Level.both(2)))


@pytest.mark.parametrize(
    "body", ["nonsense", '{"id":"other","category":"c","match":{"literal":"abc"},"reason":"t"}', "{}"]
)
def test_an_added_rule_that_cannot_be_read_is_never_dropped(store: SqliteStore, body: str) -> None:
    """A damaged rule is a fault that names it."""
    store.add_rule(StoredRule("r-1", body, "somebody", 1))
    with pytest.raises(ConfigInvalid, match="added rule r-1"):
        changes.added_rules(store)


def test_a_change_needs_a_name_and_a_reason() -> None:
    """Nobody changes anything for no reason."""
    refused("reason_required", lambda: Actor("somebody", " ", 1))
    refused("reason_required", lambda: Actor("", "because", 1))
    refused("reason_invalid", lambda: Actor("somebody", "two\nlines", 1))


def test_rules_come_and_go(store: SqliteStore) -> None:
    """Added rules come back as they were; ids are unique over files and store; rules of files stay."""
    changes.add_rule(store, RULE, (), ACTOR)
    assert changes.added_rules(store) == (RULE,)
    refused("rule_exists", lambda: changes.add_rule(store, RULE, (), ACTOR))
    refused("rule_exists", lambda: changes.add_rule(store, RULE, ("r-1",), ACTOR))
    refused("rule_from_file", lambda: changes.remove_rule(store, "f-1", ("f-1",)))
    changes.remove_rule(store, "r-1", ())
    refused("unknown_rule", lambda: changes.remove_rule(store, "r-1", ()))
