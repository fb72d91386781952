from __future__ import annotations

import asyncio
from collections.abc import Sequence
from types import MappingProxyType

import pytest

from classifiers.base import (
    Card,
    ClassifierArtefact,
    ClassifierTimeout,
    ClassifierUnavailable,
    Health,
    Loss,
    OverBudget,
    Scored,
    Window,
)
from classifiers.scoring import HASH_ON_LOOP_CHARS, PooledClassifier

CARD = Card("fake", "1", ("cbrn",), MappingProxyType({"cbrn.block": 0.05}), 64, 32, "0" * 64)


class FakePool:
    """One window a word, as long as nobody holds it."""

    def __init__(self) -> None:
        self.ran: list[str] = []
        self.free = asyncio.Event()
        self.free.set()
        self.closed = False

    @property
    def health(self) -> Health:
        return Health(3, 3, fit=True, losses=dict.fromkeys(Loss, 0))

    async def run(self, messages: Sequence[str], limit: int) -> tuple[Scored, ...]:
        await self.free.wait()
        needed = sum(len(message.split()) for message in messages)
        if needed > limit:
            raise OverBudget(needed, limit)
        self.ran += messages
        return tuple(Scored(tuple(Window(0, len(message), (0.1,)) for _ in message.split()), 1) for message in messages)

    async def close(self) -> None:
        self.closed = True


@pytest.fixture
async def pool() -> FakePool:
    return FakePool()


@pytest.fixture
async def running(pool: FakePool) -> PooledClassifier:
    async def open_pool() -> FakePool:
        return pool

    classifier = PooledClassifier(CARD, open_pool, wanted=3, cached_windows=10)
    await classifier.start()
    return classifier


async def test_only_new_messages_reach_the_pool(running: PooledClassifier, pool: FakePool) -> None:
    """What was scored before comes from the cache, at its place."""
    first = await running.score(["one two", "three"], budget=9, seconds=30)
    again = await running.score(["three", "four", "one two"], budget=9, seconds=30)
    assert (again[0], again[2]) == (first[1], first[0])
    assert pool.ran == ["one two", "three", "four"]


async def test_the_budget_counts_cached_windows(running: PooledClassifier) -> None:
    """The error counts cached and new ones under the caller's budget."""
    await running.score(["one two three"], budget=3, seconds=30)
    for messages, windows in ((["one two three"], 3), (["one two three", "four five"], 5)):
        with pytest.raises(OverBudget) as refused:
            await running.score(messages, budget=windows - 1, seconds=30)
        assert (refused.value.windows, refused.value.budget) == (windows, windows - 1)


async def test_a_late_answer_is_a_timeout_and_not_kept(running: PooledClassifier, pool: FakePool) -> None:
    """The deadline counts everything, and a call that was cut leaves nothing in the cache."""
    pool.free.clear()
    with pytest.raises(ClassifierTimeout):
        await running.score(["late"], budget=9, seconds=0.01)
    pool.free.set()
    await running.score(["late"], budget=9, seconds=30)
    assert pool.ran == ["late"]


async def test_long_texts_are_hashed_in_a_thread(running: PooledClassifier, pool: FakePool) -> None:
    """They are scored and cached like any other."""
    text = "x" * (HASH_ON_LOOP_CHARS + 1)
    for _ in range(2):
        assert len(await running.score([text], budget=1, seconds=30)) == 1
    assert pool.ran == [text]


async def test_health_is_the_pools_while_it_is_open(running: PooledClassifier, pool: FakePool) -> None:
    """Before and after, nobody is alive."""
    assert (running.health.alive, running.health.fit) == (3, True)
    await running.close()
    await running.close()
    assert pool.closed
    assert (running.health.alive, running.health.wanted, running.health.fit) == (0, 3, False)
    with pytest.raises(ClassifierUnavailable):
        await running.score(["x"], budget=9, seconds=30)


async def test_a_start_that_fails_can_be_tried_again(pool: FakePool) -> None:
    """The error passes through and leaves a classifier that has not been started."""
    outcomes: list[Exception | None] = [ClassifierArtefact("not told apart"), None]

    async def open_pool() -> FakePool:
        if (outcome := outcomes.pop(0)) is not None:
            raise outcome
        return pool

    classifier = PooledClassifier(CARD, open_pool, wanted=3)
    with pytest.raises(ClassifierArtefact):
        await classifier.start()
    assert not classifier.health.fit
    await classifier.start()
    await classifier.start()
    assert classifier.health.fit
