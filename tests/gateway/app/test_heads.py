"""Heads on their way to the store."""

from __future__ import annotations

import threading

import pytest
from support.fake_store import FakeStore

from gateway.app.heads import HeadMover
from gateway.state.base import Head, StoreError


class Slow(FakeStore):
    """A store whose heads wait for a gate, and may fail."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = threading.Event()
        self.asked: list[int] = []
        self.broken = False

    def set_head(self, head: Head) -> None:
        self.asked.append(head.sequence)
        assert self.gate.wait(30)
        if self.broken:
            raise StoreError("busy")
        super().set_head(head)


@pytest.fixture
def store() -> Slow:
    """A store that is busy until the test opens its gate."""
    return Slow()


def test_a_busy_store_holds_nobody_up_and_gets_the_newest(store: Slow) -> None:
    """Heads that come while the store is busy are taken at once; the last one is what it has in the end."""
    mover = HeadMover(store)
    for sequence in range(100):
        mover.move("r1", sequence, "x")
    store.gate.set()
    mover.close()
    assert store.head("r1") == Head("r1", 99, "x")
    assert len(store.asked) <= 3


def test_a_store_that_fails_gets_the_next_head(store: Slow) -> None:
    """A head that cannot be stored is skipped; the thread lives on."""
    store.gate.set()
    store.broken = True
    mover = HeadMover(store)
    mover.move("r1", 1, "x")
    while not store.asked:
        continue
    store.broken = False
    mover.move("r1", 2, "x")
    mover.close()
    assert store.head("r1") == Head("r1", 2, "x")


def test_without_heads_there_is_nothing_to_end(store: Slow) -> None:
    """A start that failed before its first row closes all the same."""
    HeadMover(store).close()
    assert store.head("r1") is None
