from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from support.fake_engine import FakeEngine

from classifiers.base import ClassifierInvalid, ClassifierUnavailable, OverBudget
from classifiers.batching import SLICE_WINDOWS, Workers, check_scores


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
    assert workers.restarts == 3


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
    assert workers.restarts == 0


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
    assert not any(thread.is_alive() for thread in workers._threads)


def test_check_scores() -> None:
    """Only one finite number in [0, 1] per category passes."""
    assert check_scores((0.0, 1.0), 2) == (0.0, 1.0)
    for bad in ((0.5,), (float("inf"), 0.5), (-0.1, 0.5), (0.1, 1.1)):
        with pytest.raises(ClassifierInvalid):
            check_scores(bad, 2)
