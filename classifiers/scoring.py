"""A classifier over a pool of threads or processes: the cache of scores, the budget and the deadline are the same for both."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, Protocol

from classifiers.base import Card, ClassifierTimeout, ClassifierUnavailable, Health, Loss, OverBudget, Scored
from classifiers.cache import ScoreCache

CACHED_WINDOWS: Final = 50_000
# Hashing more than this on the event loop would take over a millisecond.
HASH_ON_LOOP_CHARS: Final = 256 * 1024


class Pool(Protocol):
    """Whoever runs the model. Belongs to the event loop that opened it."""

    @property
    def health(self) -> Health: ...

    async def run(self, messages: Sequence[str], limit: int) -> tuple[Scored, ...]:
        """Score the messages. Raises OverBudget, ClassifierUnavailable (also when the queue is full), ClassifierInvalid."""

    async def close(self) -> None:
        """End threads and processes; what is waiting fails."""


class PooledClassifier:
    """A ``Classifier`` whose ``start`` opens a pool. Belongs to the event loop that starts it."""

    def __init__(
        self, card: Card, open_pool: Callable[[], Awaitable[Pool]], wanted: int, cached_windows: int = CACHED_WINDOWS
    ) -> None:
        """``open_pool``: a pool that has told the canaries apart; raises ClassifierArtefact or ClassifierUnavailable."""
        self._card = card
        self._open = open_pool
        self._cache = ScoreCache(card.digest, secrets.token_bytes(32), cached_windows)
        self._pool: Pool | None = None
        self._nobody = Health(0, wanted, fit=False, losses=dict.fromkeys(Loss, 0))

    @property
    def card(self) -> Card:
        """The card, known before the start."""
        return self._card

    @property
    def health(self) -> Health:
        """See ``Classifier.health``."""
        return self._nobody if self._pool is None else self._pool.health

    async def start(self) -> None:
        """See ``Classifier.start``; returns at once when already started."""
        if self._pool is None:
            self._pool = await self._open()

    async def score(
        self, messages: Sequence[str], *, budget: int, seconds: float, partition: str = ""
    ) -> tuple[Scored, ...]:
        """See ``Classifier.score``. The number of windows in OverBudget is a lower bound: counting stops there."""
        if self._pool is None:
            raise ClassifierUnavailable("not started")
        try:
            async with asyncio.timeout(seconds):
                return await self._score(self._pool, messages, budget, partition)
        except TimeoutError:
            raise ClassifierTimeout(f"no score within {seconds} seconds") from None

    async def close(self) -> None:
        """See ``Classifier.close``."""
        pool, self._pool = self._pool, None
        if pool is not None:
            await pool.close()

    async def _score(self, pool: Pool, messages: Sequence[str], budget: int, partition: str) -> tuple[Scored, ...]:
        keys = await self._keys(messages)
        known = [self._cache.get(key, partition) for key in keys]
        used = sum(len(scored.windows) for scored in known if scored is not None)
        if used > budget:
            raise OverBudget(used, budget)
        missing = [index for index, scored in enumerate(known) if scored is None]
        if missing:
            try:
                fresh = await pool.run([messages[index] for index in missing], budget - used)
            except OverBudget as error:
                raise OverBudget(used + error.windows, budget) from None
            for index, scored in zip(missing, fresh, strict=True):
                known[index] = scored
                self._cache.put(keys[index], scored, partition)
        return tuple(scored for scored in known if scored is not None)

    async def _keys(self, messages: Sequence[str]) -> list[bytes]:
        if sum(map(len, messages)) <= HASH_ON_LOOP_CHARS:
            return [self._cache.key(message) for message in messages]
        return await asyncio.to_thread(lambda: [self._cache.key(message) for message in messages])
