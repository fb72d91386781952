"""K screener processes as one pool: dispatch to the least loaded, and one retry elsewhere.

A long call is cut into shares of its windows, one per process at most; each process plans the whole text (about a hundredth of
the work), so that the budget is counted over all of it before any share is inferred. Answers are put together in order.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from classifiers.artefacts import Canaries, load_test
from classifiers.base import Card, ClassifierInvalid, ClassifierUnavailable, Health, OverBudget, Scored
from classifiers.embedded import START_SECONDS
from classifiers.fleet import Command, Fleet, Pace, asked
from classifiers.job import Sweep, assemble
from classifiers.link import Question, Work, shares_of
from classifiers.scoring import CACHED_WINDOWS, HASH_ON_LOOP_CHARS, PooledClassifier
from classifiers.screener import launch

SHARE_CHARS: Final = 4096  # about 64 windows, a quarter of a second
MOST_CALLS: Final = 256
MOST_CHARS: Final = 1 << 26


class Screeners:
    """A ``Pool`` over a fleet of processes."""

    def __init__(self, fleet: Fleet) -> None:
        self.fleet = fleet
        self._calls = 0
        self._chars = 0
        self._windows = self._encoder = 0

    @property
    def health(self) -> Health:
        """See ``Classifier.health``."""
        return replace(self.fleet.health, windows=self._windows, encoder=self._encoder)

    async def open(self, seconds: float = START_SECONDS) -> None:
        """See ``Fleet.open``."""
        await self.fleet.open(seconds)

    async def close(self) -> None:
        """See ``Fleet.close``."""
        await self.fleet.close()

    async def run(self, messages: Sequence[str], limit: int) -> tuple[Scored, ...]:
        """See ``Pool.run``."""
        if not self.fleet.links:
            raise ClassifierUnavailable("closed" if self.fleet.closed else "no screener is up")
        chars = sum(map(len, messages))
        if self._calls >= MOST_CALLS or self._chars + chars > MOST_CHARS:
            raise ClassifierUnavailable("the queue is full")
        self._calls += 1
        self._chars += chars
        try:
            return await self._run(messages, limit, chars)
        finally:
            self._calls -= 1
            self._chars -= chars

    async def _run(self, messages: Sequence[str], limit: int, chars: int) -> tuple[Scored, ...]:
        shares = min(len(self.fleet.links), 1 + chars // SHARE_CHARS)
        numbers = [next(self.fleet.ids) for _ in range(shares)]
        if chars > HASH_ON_LOOP_CHARS:
            works = await asyncio.to_thread(shares_of, numbers, messages, limit)
        else:
            works = shares_of(numbers, messages, limit)
        if shares == 1:
            return self._counted(await self._answer(works[0]))
        tasks = [asyncio.ensure_future(self._answer(work)) for work in works]
        try:
            return self._counted(joined(await asyncio.gather(*tasks)))
        finally:
            for task in tasks:
                task.cancel()

    def _counted(self, sweep: Sweep) -> tuple[Scored, ...]:
        self._windows += len(sweep.windows)
        self._encoder += sweep.encoder
        return assemble(sweep)

    async def _answer(self, work: Work) -> Sweep:
        """The answer of the least loaded screener; of another one too, once, when that one fails or falls silent."""
        link = self.fleet.pick(None)
        if link is None:
            raise ClassifierUnavailable("no screener is up")
        with asked(link, work) as first:
            await asyncio.wait((first.answer, first.doubt), return_when=asyncio.FIRST_COMPLETED)
            failure = first.answer.exception() if first.answer.done() else None
            other = self.fleet.pick(link)
            if other is None or isinstance(failure, OverBudget) or (first.answer.done() and failure is None):
                return await first.answer
            with asked(other, work) as second:
                return await _either(first, second)


class ScreenedClassifier(PooledClassifier):
    """A ``Classifier`` over processes, each of which loads and verifies the weights itself."""

    def __init__(self, card: Card, canaries: Canaries, command: Command, count: int, pace: Pace | None = None) -> None:
        async def open_pool() -> Screeners:
            pool = Screeners(Fleet(card, canaries, command, count, pace))
            await pool.open()
            return pool

        super().__init__(card, open_pool, count, CACHED_WINDOWS)

    @classmethod
    def from_folder(cls, folder: Path, card_sha256: str, count: int) -> ScreenedClassifier:
        """A classifier of the weights in ``folder``, whose card has this digest. Raises ClassifierArtefact."""
        card, canaries = load_test(folder, card_sha256)
        return cls(card, canaries, lambda descriptor: launch(folder, card_sha256, descriptor), count)


def joined(sweeps: Sequence[Sweep]) -> Sweep:
    """The shares in order as one. Raises ClassifierInvalid when they do not fit together, which is the fault of one of them."""
    first = sweeps[0]
    if any((sweep.counts, sweep.tokens) != (first.counts, first.tokens) for sweep in sweeps):
        raise ClassifierInvalid("screeners count differently")
    windows = tuple(window for sweep in sweeps for window in sweep.windows)
    whole = Sweep(first.counts, first.tokens, windows, sum(sweep.encoder for sweep in sweeps))
    for scored in assemble(whole):
        for before, after in itertools.pairwise(scored.windows):
            if not before.start <= after.start <= before.end <= after.end:
                raise ClassifierInvalid("the shares of screeners leave a gap")
    return whole


async def _either(first: Question, second: Question) -> Sweep:
    """Whichever answers first; the other's word where one fails."""
    done, _ = await asyncio.wait((first.answer, second.answer), return_when=asyncio.FIRST_COMPLETED)
    if all(answer.exception() is not None for answer in done):
        await asyncio.wait((first.answer, second.answer))
    for question in (second, first):
        if question.answer.done() and question.answer.exception() is None:
            return question.answer.result()
    return await second.answer
