"""What every store owes its callers. A test module subclasses ``StoreConformance`` and says how to make one."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from gateway.state.base import Brake, Declared, Head, Store, StoredRule, StoreError
from gateway.terms import Level


def brake(name: str = "b-1", *, asl: int = 5, model: str = "m", opened: int = 100) -> Brake:
    """An open brake."""
    return Brake(name, model, Level.both(asl), "incident 12", "operator", opened)


def fill(store: Store, brakes: int = 40) -> None:
    """Something of everything, over several pages."""
    for number in range(brakes):
        store.add_brake(brake(f"b-{number:03}", opened=1 + number))
    store.declare(Declared("m", Level.both(3), "operator", 1))
    store.add_rule(StoredRule("r-1", "{}" + " " * 500, "o", 1))
    store.set_head(Head("r1", 7, "aa"))


class StoreConformance:
    """Subclasses implement ``make``: an empty store."""

    def make(self) -> Store:
        """An empty store of the kind under test."""
        raise NotImplementedError

    @pytest.fixture
    def store(self) -> Iterator[Store]:
        """An empty store, closed after the test."""
        made = self.make()
        yield made
        made.close()

    def test_begins_empty(self, store: Store) -> None:
        """A new store holds nothing and has seen no write."""
        assert store.revision() == 0
        assert store.open_brakes() == store.all_brakes() == store.declared() == store.rules() == ()
        assert store.head("r1") is None

    def test_a_brake_is_open_until_released(self, store: Store) -> None:
        """A released brake stays on record, with who released it and why, and is not open."""
        store.add_brake(brake())
        assert store.open_brakes() == (brake(),)
        released = store.release_brake("b-1", by="second", reason="all clear", at=200)
        assert released == Brake("b-1", "m", Level.both(5), "incident 12", "operator", 100, 200, "second", "all clear")
        assert store.open_brakes() == ()
        assert store.all_brakes() == (released,)

    def test_brakes_come_oldest_first(self, store: Store) -> None:
        """The order is that of opening, then of ids, whatever the order of writing."""
        for name, opened in (("b-3", 300), ("b-2", 100), ("b-1", 300)):
            store.add_brake(brake(name, opened=opened))
        assert [found.id for found in store.open_brakes()] == ["b-2", "b-1", "b-3"]

    def test_a_brake_is_added_open(self, store: Store) -> None:
        """What is added is open, even where the value says that it was released."""
        store.add_brake(Brake("b-1", "m", Level.both(5), "r", "o", 100, 200, "x", "y"))
        assert store.open_brakes() == (Brake("b-1", "m", Level.both(5), "r", "o", 100),)

    def test_a_taken_brake_id_is_refused(self, store: Store) -> None:
        """A second brake of the same id, also after release, changes nothing."""
        store.add_brake(brake())
        store.release_brake("b-1", by="s", reason="r", at=200)
        with pytest.raises(KeyError):
            store.add_brake(brake(asl=4))
        assert store.open_brakes() == ()
        assert store.revision() == 2

    def test_releasing_what_is_not_open_is_refused(self, store: Store) -> None:
        """An unknown brake and a released one cannot be released."""
        with pytest.raises(KeyError):
            store.release_brake("b-9", by="s", reason="r", at=200)
        store.add_brake(brake())
        store.release_brake("b-1", by="s", reason="r", at=200)
        with pytest.raises(KeyError):
            store.release_brake("b-1", by="t", reason="q", at=300)
        assert store.all_brakes()[0].released_by == "s"

    def test_a_release_at_time_zero_is_refused(self, store: Store) -> None:
        """Zero means "open", so nothing can be released then."""
        store.add_brake(brake())
        with pytest.raises(ValueError):
            store.release_brake("b-1", by="s", reason="r", at=0)
        assert store.open_brakes() == (brake(),)

    def test_both_standards_are_kept(self, store: Store) -> None:
        """A level whose standards differ comes back as it was."""
        level = Level(3, 4)
        store.add_brake(Brake("b-1", "m", level, "r", "o", 1))
        store.declare(Declared("m", level, "operator", 1))
        assert store.open_brakes()[0].level == store.declared()[0].level == level

    def test_declaring_again_replaces(self, store: Store) -> None:
        """A model has one declared record: the last."""
        for model, asl in (("b", 3), ("a", 2), ("b", 4)):
            store.declare(Declared(model, Level.both(asl), "operator", asl, "why"))
        assert store.declared() == (
            Declared("a", Level.both(2), "operator", 2, "why"),
            Declared("b", Level.both(4), "operator", 4, "why"),
        )

    def test_a_record_is_replaced_only_as_it_was_seen(self, store: Store) -> None:
        """Who declares over what somebody else declared in between is told so, and nothing is lowered by accident."""
        low, high = Declared("m", Level.both(2), "o", 1), Declared("m", Level.both(4), "o", 2)
        store.declare(low, replacing=None)
        with pytest.raises(KeyError):
            store.declare(low, replacing=None)
        store.declare(high, replacing=low)
        revision = store.revision()
        with pytest.raises(KeyError):
            store.declare(Declared("m", Level.both(3), "o", 3), replacing=low)
        assert store.declared() == (high,)
        assert store.revision() == revision

    def test_rules_are_added_once_and_removed_once(self, store: Store) -> None:
        """Ids are unique; removing what is not there is refused."""
        second, first = StoredRule("r-2", "{}", "o", 1), StoredRule("r-1", '{"a":1}', "o", 2)
        store.add_rule(second)
        store.add_rule(first)
        assert store.rules() == (first, second)
        with pytest.raises(KeyError):
            store.add_rule(StoredRule("r-1", "{}", "p", 3))
        store.remove_rule("r-2")
        with pytest.raises(KeyError):
            store.remove_rule("r-2")
        assert store.rules() == (first,)

    def test_heads_are_kept_by_replica(self, store: Store) -> None:
        """Each chain has its own head: the last that was set."""
        for head in (Head("r1", 1, "aa"), Head("r2", 7, "bb"), Head("r1", 2, "cc")):
            store.set_head(head)
        assert store.head("r1") == Head("r1", 2, "cc")
        assert store.head("r2") == Head("r2", 7, "bb")

    def test_every_policy_write_and_nothing_else_moves_the_revision(self, store: Store) -> None:
        """The revision grows by each policy write; reads, heads and refused writes leave it."""
        seen = [store.revision()]
        store.add_brake(brake())
        seen.append(store.revision())
        store.release_brake("b-1", by="s", reason="r", at=2)
        seen.append(store.revision())
        store.declare(Declared("m", Level.both(3), "o", 1))
        seen.append(store.revision())
        store.add_rule(StoredRule("r-1", "{}", "o", 1))
        seen.append(store.revision())
        store.remove_rule("r-1")
        seen.append(store.revision())
        assert all(before < after for before, after in itertools.pairwise(seen))
        store.set_head(Head("r1", 1, "aa"))
        for refused in (lambda: store.remove_rule("r-1"), lambda: store.add_brake(brake())):
            with pytest.raises(KeyError):
                refused()
        assert store.revision() == seen[-1]

    def test_text_comes_back_as_it_was(self, store: Store) -> None:
        """Quotes, semicolons, line ends and any script are just text."""
        text = "'; DROP TABLE brakes; --\n\x00\u202e🧪 ß"
        store.add_brake(Brake("b-1", text, Level.both(5), text, text, 1))
        assert store.open_brakes() == (Brake("b-1", text, Level.both(5), text, text, 1),)

    def test_threads_may_share_it(self, store: Store) -> None:
        """Writes of several threads all arrive."""
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(lambda number: store.add_brake(brake(f"b-{number:02}")), range(32)))
        assert len(store.open_brakes()) == store.revision() == 32

    def test_a_closed_store_says_so(self) -> None:
        """After close, reading raises StoreError instead of showing nothing."""
        store = self.make()
        store.add_brake(brake())
        store.close()
        with pytest.raises(StoreError):
            store.open_brakes()
