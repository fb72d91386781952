from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest
from support.fake_engine import FakeEngine

from classifiers.base import ClassifierInvalid, ClassifierUnavailable, Loss, OverBudget
from classifiers.batching import MOST_ABANDONED, STUCK_LOOKS, Workers
from classifiers.job import SLICE_WINDOWS, Share


@pytest.fixture
def engine() -> FakeEngine:
    return FakeEngine()


@pytest.fixture
async def workers(engine: FakeEngine) -> AsyncIterator[Workers]:
    made = Workers(engine, 1, threads=2, waiting=4)
    yield made
    engine.gate.set()
    await made.close()


async def blocked(engine: FakeEngine, count: int) -> None:
    for _ in range(count):
        assert await asyncio.to_thread(engine.blocked.acquire, True, 10)


async def test_scores_stand_at_their_windows(workers: Workers) -> None:
    """Slices run by different threads are put together in order, message by message."""
    text = " ".join("x" * (1 + index % 9) for index in range(5 * SLICE_WINDOWS + 3))
    one, empty, other = await workers.run([text, "", "ab"], 1000)
    assert [window.scores[0] for window in one.windows] == [len(word) / 100 for word in text.split(" ")]
    assert empty.windows == ()
    assert [window.scores for window in other.windows] == [(0.02,)]


async def test_only_empty_messages(workers: Workers) -> None:
    """A job without windows completes."""
    assert [one.tokens for one in await workers.run(["", ""], 0)] == [0, 0]


async def test_budget_over_all_messages_before_inference(workers: Workers, engine: FakeEngine) -> None:
    """The budget is one for all messages and nothing is inferred when it is exceeded."""
    with pytest.raises(OverBudget) as refused:
        await workers.run(["a b c", "d e"], 4)
    assert (refused.value.windows, refused.value.budget) == (5, 4)
    assert engine.inferred == []


@pytest.mark.parametrize("word", ["nan", "few", "big", "invalid"])
async def test_nonsense_is_invalid(workers: Workers, word: str) -> None:
    """Scores that are no scores end the job, and the next job is served."""
    with pytest.raises(ClassifierInvalid):
        await workers.run([f"a {word} b"], 10)
    assert len(await workers.run(["fine"], 10)) == 1


@pytest.mark.parametrize("word", ["raise", "unplannable"])
async def test_foreign_errors_are_translated(workers: Workers, word: str) -> None:
    """No error of a model's library leaves the workers as itself."""
    with pytest.raises(ClassifierUnavailable) as failed:
        await workers.run([word], 10)
    assert isinstance(failed.value.__cause__, RuntimeError)


async def test_full_queue_refuses_at_once(workers: Workers, engine: FakeEngine) -> None:
    """When as many jobs wait as may, the next one is refused instead of queued."""
    running = [asyncio.create_task(workers.run(["block"], 10)) for _ in range(2)]
    await blocked(engine, 2)
    waiting = [asyncio.create_task(workers.run(["a"], 10)) for _ in range(4)]
    await asyncio.sleep(0)
    with pytest.raises(ClassifierUnavailable):
        await workers.run(["a"], 10)
    engine.gate.set()
    assert len(await asyncio.gather(*running, *waiting)) == 6


async def test_cancelled_jobs_are_not_inferred(workers: Workers, engine: FakeEngine) -> None:
    """A caller that has left costs no inference any more, neither waiting nor half done."""
    running = [asyncio.create_task(workers.run(["block never"], 10)) for _ in range(2)]
    await blocked(engine, 2)
    waiting = asyncio.create_task(workers.run(["never"], 10))
    await asyncio.sleep(0)
    for task in (waiting, *running):
        task.cancel()
    await asyncio.gather(waiting, *running, return_exceptions=True)
    engine.gate.set()
    await workers.run(["after"], 10)
    await workers.run(["after"], 10)
    assert "never" not in engine.inferred


async def test_short_jobs_do_not_wait_for_long_ones(engine: FakeEngine) -> None:
    """A short job is served while a long one still has windows, with a single thread."""
    workers = Workers(engine, 1, threads=1, waiting=4)
    long = asyncio.create_task(workers.run([" ".join(["block"] + ["word"] * 20 * SLICE_WINDOWS)], 1000))
    await blocked(engine, 1)
    short = asyncio.create_task(workers.run(["short"], 10))
    await asyncio.sleep(0)
    engine.gate.set()
    await asyncio.gather(long, short)
    assert engine.inferred.index("short") <= 3 * SLICE_WINDOWS
    await workers.close()


async def test_dead_worker_is_replaced(workers: Workers) -> None:
    """The job of a thread that dies fails as unavailable, and others are served by a new thread."""
    for _ in range(3):
        with pytest.raises(ClassifierUnavailable):
            await workers.run(["die"], 10)
    assert len(await asyncio.gather(*(workers.run(["fine"], 10) for _ in range(4)))) == 4
    assert workers.health.losses[Loss.DIED] == 3
    assert (workers.health.alive, workers.health.fit) == (2, True)


async def test_close_fails_what_waits(engine: FakeEngine) -> None:
    """Closing ends waiting calls with an error and refuses later ones; closing is over when the threads are."""
    workers = Workers(engine, 1, threads=1, waiting=4)
    running = asyncio.create_task(workers.run(["block"], 10))
    await blocked(engine, 1)
    waiting = asyncio.create_task(workers.run(["a"], 10))
    await asyncio.sleep(0)
    closing = asyncio.create_task(workers.close())
    for task in (running, waiting):
        with pytest.raises(ClassifierUnavailable):
            await task
    engine.gate.set()
    await closing
    with pytest.raises(ClassifierUnavailable):
        await workers.run(["a"], 10)


async def test_a_worker_that_dies_while_closing_stays_dead(engine: FakeEngine) -> None:
    """No new thread is started for a pool that is closing."""
    workers = Workers(engine, 1, threads=1, waiting=4)
    running = asyncio.create_task(workers.run(["blockdie"], 10))
    await blocked(engine, 1)
    closing = asyncio.create_task(workers.close())
    with pytest.raises(ClassifierUnavailable):
        await running
    engine.gate.set()
    await closing
    assert workers.health.losses[Loss.DIED] == 0


def test_worker_outlives_its_loop(engine: FakeEngine) -> None:
    """A thread whose event loop is gone drops the answer without an error."""

    async def leave() -> Workers:
        workers = Workers(engine, 1, threads=1, waiting=4)
        task = asyncio.create_task(workers.run(["block"], 10))
        await blocked(engine, 1)
        task.cancel()
        return workers

    workers = asyncio.run(leave())
    engine.gate.set()
    workers._queue.put(None)
    workers._join()
    assert not any(worker.thread.is_alive() for worker in workers._workers)


async def stuck(workers: Workers, engine: FakeEngine) -> asyncio.Task[object]:
    """A call whose thread hangs in the model, found out."""
    task: asyncio.Task[object] = asyncio.create_task(workers.run(["block"], 10))
    await blocked(engine, 1)
    for _ in range(STUCK_LOOKS + 1):
        workers.look()
    return task


async def until(holds: Callable[[], bool]) -> None:
    """Wait for what a thread tells the loop."""
    async with asyncio.timeout(30):
        while not holds():
            await asyncio.sleep(0.01)


async def test_a_thread_that_hangs_is_replaced(workers: Workers, engine: FakeEngine) -> None:
    """Its call fails, others are served by as many threads as before, and it ends when it comes back."""
    task = await stuck(workers, engine)
    with pytest.raises(ClassifierUnavailable, match="hangs"):
        await task
    health = workers.health
    assert (health.alive, health.fit, health.losses[Loss.HUNG]) == (2, True, 1)
    (left,) = workers._abandoned
    assert len(await asyncio.gather(*(workers.run(["fine"], 10) for _ in range(4)))) == 4
    engine.gate.set()
    await until(lambda: not workers._abandoned and not left.thread.is_alive())
    assert workers.health.alive == 2


async def test_a_thread_that_moves_is_not_stuck(workers: Workers, engine: FakeEngine) -> None:
    """An idle thread and one that goes on between looks are left alone however often they are looked at."""
    for _ in range(2 * STUCK_LOOKS):
        workers.look()
        await workers.run(["fine"], 10)
    task = asyncio.create_task(workers.run(["block fine"], 10))
    await blocked(engine, 1)
    for _ in range(STUCK_LOOKS):
        workers.look()
    engine.gate.set()
    assert len(await task) == 1
    assert workers.health.losses[Loss.HUNG] == 0


async def test_a_pool_does_not_leave_threads_behind_without_end(workers: Workers, engine: FakeEngine) -> None:
    """Beyond the bound nobody is replaced and work should go elsewhere; with nobody left, calls fail at once; then they come back."""
    for count in range(1, MOST_ABANDONED + 3):
        with pytest.raises(ClassifierUnavailable):
            await (await stuck(workers, engine))
        assert workers.health.fit == (count <= MOST_ABANDONED)
    assert workers.health.alive == 0
    with pytest.raises(ClassifierUnavailable, match="every thread hangs"):
        await workers.run(["fine"], 10)
    engine.gate.set()
    await until(lambda: workers.health.fit and workers.health.alive == 2)
    assert len(await workers.run(["fine"], 10)) == 1


async def test_what_waits_when_the_last_thread_hangs_fails(engine: FakeEngine) -> None:
    """Nobody would ever take it."""
    workers = Workers(engine, 1, threads=1, waiting=9)
    for _ in range(MOST_ABANDONED):
        with pytest.raises(ClassifierUnavailable):
            await (await stuck(workers, engine))
    last = asyncio.create_task(workers.run(["block"], 10))
    await blocked(engine, 1)
    waiting = asyncio.create_task(workers.run(["a"], 10))
    await asyncio.sleep(0)
    for _ in range(STUCK_LOOKS + 1):
        workers.look()
    for task in (last, waiting):
        with pytest.raises(ClassifierUnavailable):
            await task
    engine.gate.set()
    await workers.close()


async def test_shares_together_are_the_whole(workers: Workers) -> None:
    """Each share has its windows and no other, and counts all of them; the budget is of all windows for each."""
    texts = [" ".join("x" * (1 + index % 9) for index in range(21)), "", "ab cd"]
    whole = await workers.sweep(texts, 100)
    shares = [await workers.sweep(texts, 100, Share(index, 4)) for index in range(4)]
    assert tuple(window for share in shares for window in share.windows) == whole.windows
    assert {(share.counts, share.tokens) for share in shares} == {(whole.counts, whole.tokens)}
    with pytest.raises(OverBudget):
        await workers.sweep(texts, 22, Share(0, 4))
    before = workers.progress
    assert (await workers.sweep(["a"], 9, Share(1, 3))).windows == ()
    assert workers.progress > before
