"""The holder: one assignment, everyone told, never back."""

from __future__ import annotations

import structlog
from support.policy_values import brake, snapshot

from gateway.policy.holder import SnapshotHolder
from gateway.policy.snapshot import Snapshot


def test_a_new_policy_is_put_in_force_and_told() -> None:
    """Subscribers see the snapshot that is already current."""
    holder, seen = SnapshotHolder(snapshot()), []
    holder.subscribe(lambda new: seen.append((new, holder.current is new)))
    raised = snapshot(brakes=(brake(),), revision=8)
    assert holder.swap(raised) is True
    assert seen == [(raised, True)]


def test_an_older_revision_is_never_put_in_force() -> None:
    """A restored backup or a late message changes nothing."""
    raised = snapshot(brakes=(brake(),), revision=8)
    holder, seen = SnapshotHolder(raised), []
    holder.subscribe(seen.append)
    assert holder.swap(snapshot(revision=7)) is False
    assert holder.current is raised
    assert seen == []


def test_a_reload_at_the_same_revision_counts() -> None:
    """Files may change while the store does not."""
    holder = SnapshotHolder(snapshot())
    assert holder.swap(snapshot(classifiers=False)) is True


def test_the_same_policy_is_told_to_nobody() -> None:
    """A write that decides nothing moves the revision and disturbs no exchange."""
    holder, seen = SnapshotHolder(snapshot()), []
    holder.subscribe(seen.append)
    assert holder.swap(snapshot(revision=9)) is False
    assert holder.current.revision == 9
    assert seen == []


def test_whoever_leaves_is_told_no_more() -> None:
    """Also in the middle of a swap, and leaving twice does no harm."""
    holder, seen = SnapshotHolder(snapshot()), []
    leave = holder.subscribe(seen.append)
    leave()
    leave()
    left = holder.subscribe(lambda _: left())
    holder.swap(snapshot(brakes=(brake(),)))
    assert seen == []


def test_one_fault_does_not_keep_a_halt_from_the_others() -> None:
    """A subscriber that raises is logged, and the rest are told."""
    holder, seen = SnapshotHolder(snapshot()), []

    def broken(new: Snapshot) -> None:
        raise RuntimeError(new.digest)

    holder.subscribe(broken)
    holder.subscribe(seen.append)
    with structlog.testing.capture_logs() as logs:
        assert holder.swap(snapshot(brakes=(brake(),))) is True
    assert len(seen) == 1
    assert [entry["event"] for entry in logs] == ["snapshot_subscriber_failed"]
