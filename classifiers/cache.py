"""Scores of messages seen before, so that a chat that sends its history again costs a hash per message."""

from __future__ import annotations

import hashlib
from collections import OrderedDict

from classifiers.base import Scored


class ScoreCache:
    """Least recently used out first; the bound counts windows (about 250 bytes each), since messages differ in size.

    Keys are keyed digests: they tell nothing about the text to whoever reads memory, and cannot be collided from outside.
    """

    def __init__(self, model_digest: str, secret: bytes, most_windows: int) -> None:
        self._person = hashlib.sha256(model_digest.encode()).digest()[: hashlib.blake2b.PERSON_SIZE]
        self._secret = secret
        self._most = most_windows
        self._windows = 0
        self._entries: OrderedDict[bytes, Scored] = OrderedDict()

    def key(self, text: str) -> bytes:
        """The key of a text under this model."""
        content = text.encode("utf-8", "surrogatepass")
        return hashlib.blake2b(content, key=self._secret, person=self._person, digest_size=16).digest()

    def get(self, key: bytes) -> Scored | None:
        """The scores kept under ``key``, now the most recent."""
        found = self._entries.get(key)
        if found is not None:
            self._entries.move_to_end(key)
        return found

    def put(self, key: bytes, scored: Scored) -> None:
        """Keep the scores, dropping the oldest ones beyond the bound; a message larger than the bound is not kept."""
        self._forget(key)
        if self._size(scored) > self._most:
            return
        self._entries[key] = scored
        self._windows += self._size(scored)
        while self._windows > self._most:
            self._forget(next(iter(self._entries)))

    def _forget(self, key: bytes) -> None:
        gone = self._entries.pop(key, None)
        if gone is not None:
            self._windows -= self._size(gone)

    @staticmethod
    def _size(scored: Scored) -> int:
        return max(1, len(scored.windows))
