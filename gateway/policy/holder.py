"""Where the snapshot in force is kept: swapped as a whole, and never back to an older revision."""

from __future__ import annotations

from collections.abc import Callable

import structlog

from gateway.policy.snapshot import Snapshot

Subscriber = Callable[[Snapshot], None]


class SnapshotHolder:
    """The current snapshot of this replica. Used from the event loop only, so that a swap is one assignment."""

    def __init__(self, first: Snapshot) -> None:
        self._current = first
        self._subscribers: dict[int, Subscriber] = {}
        self._next = 0

    @property
    def current(self) -> Snapshot:
        """The snapshot in force."""
        return self._current

    def swap(self, snapshot: Snapshot) -> bool:
        """Put a snapshot in force and tell every subscriber. False, and nothing told, for an older revision or the same policy.

        A store that was restored from a backup has an older revision: what this replica has in force stays.
        """
        if snapshot.revision < self._current.revision:
            return False
        changed = snapshot.digest != self._current.digest
        self._current = snapshot
        if changed:
            for subscriber in tuple(self._subscribers.values()):
                self._tell(subscriber, snapshot)
        return changed

    def _tell(self, subscriber: Subscriber, snapshot: Snapshot) -> None:
        try:
            subscriber(snapshot)
        except Exception:  # noqa: BLE001  one exchange's fault must not keep a halt from all the others
            structlog.get_logger().exception("snapshot_subscriber_failed", policy=snapshot.digest)

    def subscribe(self, subscriber: Subscriber) -> Callable[[], None]:
        """Be told of every swap; call the result to be told no more (more than once does no harm)."""
        number = self._next
        self._next += 1
        self._subscribers[number] = subscriber

        def unsubscribe() -> None:
            self._subscribers.pop(number, None)

        return unsubscribe
