"""Moves ledger heads in the store from a thread of its own, so that a store that is busy never holds up the ledger's writer."""

from __future__ import annotations

import contextlib
import threading

from gateway.state.base import Head, Store


class HeadMover:
    """Takes heads from the ledger's thread at once and stores the newest. Heads only trail: one that is skipped or fails is no loss."""

    def __init__(self, store: Store) -> None:
        """The thread begins with the first head."""
        self._store = store
        self._turn = threading.Condition()
        self._newest: Head | None = None
        self._closed = False
        self._thread: threading.Thread | None = None

    def move(self, replica: str, sequence: int, digest: str) -> None:
        """The head of a chain is here now. Never waits for the store."""
        with self._turn:
            self._newest = Head(replica, sequence, digest)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="heads", daemon=True)
                self._thread.start()
            self._turn.notify()

    def close(self) -> None:
        """Store the newest head and end the thread. Blocks, at most for the store's own timeouts."""
        with self._turn:
            self._closed = True
            self._turn.notify()
        if self._thread is not None:
            self._thread.join()

    def _run(self) -> None:
        while (head := self._next()) is not None:
            with contextlib.suppress(Exception):
                self._store.set_head(head)

    def _next(self) -> Head | None:
        """Wait for a head; None when closed and all is stored."""
        with self._turn:
            while self._newest is None and not self._closed:
                self._turn.wait()
            head, self._newest = self._newest, None
            return head
