"""Two processes that declare one model at the same moment: the stricter level stays on record."""

from __future__ import annotations

from types import EllipsisType

import pytest
from support.fake_store import FakeStore

from gateway.policy.changes import Actor, ChangeRefused, declare
from gateway.state.base import Declared
from gateway.terms import Level

ME = Actor("operator", "declared at start", 100)


class Overtaken(FakeStore):
    """A store in which another process declares a level just before our first write."""

    def __init__(self, other: Level) -> None:
        super().__init__()
        self._other: Level | None = other

    def declare(self, record: Declared, *, replacing: Declared | EllipsisType | None = ...) -> None:
        """The other process is faster once."""
        if self._other is not None:
            other, self._other = self._other, None
            super().declare(Declared(record.model, other, "other", 99))
        super().declare(record, replacing=replacing)


def test_a_lower_level_does_not_overwrite_one_declared_in_between() -> None:
    """What would lower the other process's level is refused, as if it had been there from the start."""
    store = Overtaken(Level.both(4))
    with pytest.raises(ChangeRefused, match="asl-4") as caught:
        declare(store, "m", Level.both(3), ME)
    assert caught.value.code == "level_lower"
    assert [record.level for record in store.declared()] == [Level.both(4)]


def test_a_stricter_level_replaces_one_declared_in_between() -> None:
    """The second attempt sees the other's level and goes above it."""
    store = Overtaken(Level.both(2))
    assert declare(store, "m", Level.both(3), ME).level == Level.both(3)
    assert [record.level for record in store.declared()] == [Level.both(3)]


def test_the_same_level_declared_in_between_stays() -> None:
    """Nothing is left to write: the other's record is the answer."""
    store = Overtaken(Level.both(3))
    assert declare(store, "m", Level.both(3), ME).declared_by == "other"


def test_standards_that_differ_are_compared_apart() -> None:
    """A level that is stricter in one standard and lower in the other is refused, whichever came first."""
    store = Overtaken(Level(3, 4))
    with pytest.raises(ChangeRefused):
        declare(store, "m", Level(4, 3), ME)
    assert [record.level for record in store.declared()] == [Level(3, 4)]
