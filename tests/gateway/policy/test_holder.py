"""The holder: atomic, told to everybody, never backwards."""

from __future__ import annotations

from support.policies import brake, snapshot

from gateway.policy.holder import SnapshotHolder
from gateway.policy.snapshot import Snapshot


def test_a_swap_is_told_once_and_an_older_revision_is_not_taken() -> None:
    """Subscribers hear of changes; a stale snapshot changes nothing."""
    heard: list[Snapshot] = []
    holder = SnapshotHolder(snapshot(revision=2))
    leave = holder.subscribe(heard.append)
    stricter = snapshot(brakes=(brake(5),), revision=3)
    assert holder.swap(stricter)
    assert not holder.swap(snapshot(revision=2))
    assert holder.current is stricter
    assert not holder.swap(snapshot(brakes=(brake(5),), revision=4))
    assert holder.current.revision == 4
    leave()
    leave()
    assert holder.swap(snapshot(revision=5))
    assert heard == [stricter]


def test_one_fault_does_not_keep_a_halt_from_the_others() -> None:
    """A subscriber that raises is logged; everybody else still hears."""
    heard: list[Snapshot] = []
    holder = SnapshotHolder(snapshot())

    def broken(_: Snapshot) -> None:
        raise RuntimeError("one exchange is broken")

    holder.subscribe(broken)
    holder.subscribe(heard.append)
    assert holder.swap(snapshot(brakes=(brake(5),), revision=2))
    assert len(heard) == 1
