"""Scores of messages seen before, so that a chat that sends its history again costs a hash per message.

Kept apart by *partition* (whoever sent them): what one sends is found by nobody else, so that the time of an answer tells
nothing about other people's texts. Neither does what is dropped: room is made in the largest partition, so that who floods
the cache drops its own scores first. Scores are kept, not verdicts: thresholds may change between two turns of a chat.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from typing import Final

from classifiers.base import Scored

MOST_PARTITIONS: Final = 1024


class _Part:
    """One partition: its entries, the oldest first, and how many windows they hold."""

    def __init__(self) -> None:
        self.entries: OrderedDict[bytes, Scored] = OrderedDict()
        self.windows = 0

    def forget(self, key: bytes) -> None:
        gone = self.entries.pop(key, None)
        if gone is not None:
            self.windows -= _size(gone)


class ScoreCache:
    """Least recently used out first; the bound counts windows (about 250 bytes each), since messages differ in size.

    Keys are keyed digests: they tell nothing about the text to whoever reads memory, and cannot be collided from outside.
    """

    def __init__(self, model_digest: str, secret: bytes, most_windows: int) -> None:
        self._person = hashlib.sha256(model_digest.encode()).digest()[: hashlib.blake2b.PERSON_SIZE]
        self._secret = secret
        self._most = most_windows
        self._windows = 0
        self._parts: OrderedDict[str, _Part] = OrderedDict()

    def key(self, text: str) -> bytes:
        """The key of a text under this model."""
        content = text.encode("utf-8", "surrogatepass")
        return hashlib.blake2b(content, key=self._secret, person=self._person, digest_size=16).digest()

    def get(self, key: bytes, partition: str = "") -> Scored | None:
        """The scores kept under ``key`` in the partition, now the most recent."""
        part = self._parts.get(partition)
        found = None if part is None else part.entries.get(key)
        if part is not None and found is not None:
            part.entries.move_to_end(key)
            self._parts.move_to_end(partition)
        return found

    def put(self, key: bytes, scored: Scored, partition: str = "") -> None:
        """Keep the scores; beyond the bound the oldest of the largest partition go. A message over the bound is not kept."""
        if _size(scored) > self._most:
            self._forget(self._parts.get(partition), key)
            return
        part = self._parts.setdefault(partition, _Part())
        self._parts.move_to_end(partition)
        self._forget(part, key)
        part.entries[key] = scored
        part.windows += _size(scored)
        self._windows += _size(scored)
        self._make_room()

    def _make_room(self) -> None:
        while len(self._parts) > MOST_PARTITIONS:
            _, gone = self._parts.popitem(last=False)
            self._windows -= gone.windows
        if self._windows <= self._most:
            return
        while self._windows > self._most:
            largest = max(self._parts.values(), key=lambda part: part.windows)
            self._forget(largest, next(iter(largest.entries)))
        for name in [name for name, part in self._parts.items() if not part.entries]:
            del self._parts[name]

    def _forget(self, part: _Part | None, key: bytes) -> None:
        if part is not None:
            before = part.windows
            part.forget(key)
            self._windows -= before - part.windows


def _size(scored: Scored) -> int:
    return max(1, len(scored.windows))
