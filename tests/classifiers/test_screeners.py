from __future__ import annotations

import asyncio
import os
import signal
import time
from pathlib import Path

import pytest
from support.odd_pool import HASTY, QUICK, pool, until
from support.odd_screener import CANARIES, CARD, odd
from support.tiny_model import write_folder

from classifiers.base import (
    ClassifierError,
    ClassifierInvalid,
    ClassifierTimeout,
    ClassifierUnavailable,
    Loss,
    OverBudget,
    Window,
)
from classifiers.job import Sweep
from classifiers.screeners import MOST_CALLS, MOST_CHARS, SHARE_CHARS, ScreenedClassifier, Screeners, joined


async def test_answers_stand_in_order(tmp_path: Path) -> None:
    """A call is cut into shares for both processes, and every message has its windows in order, empty ones none."""
    long = " ".join("x" * (1 + index % 9) for index in range(SHARE_CHARS))
    async with pool(tmp_path) as screeners:
        one, empty, other = await screeners.run([long, "", "ab"], 10_000)
        assert [window.scores[0] for window in one.windows] == [len(word) / 100 for word in long.split(" ")]
        assert (empty.windows, other.windows) == ((), (Window(0, 2, (0.02,)),))
        with pytest.raises(OverBudget):
            await screeners.run([long, "ab"], SHARE_CHARS)
        assert len(await screeners.run([long, "ab"], SHARE_CHARS + 1)) == 2
        assert not any(screeners.health.losses.values())


@pytest.mark.parametrize("pool_size", [2, 3])
async def test_killed_processes_cost_a_retry_each(tmp_path: Path, pool_size: int) -> None:
    """Calls in flight on a process that is killed are answered by another; a new one takes its place."""
    async with pool(tmp_path, pool_size) as screeners:
        before = set(screeners.fleet.pids)
        calls = [screeners.run([f"die-once and number {index}", "more text"], 100) for index in range(10)]
        for answer in await asyncio.gather(*calls):
            assert [len(one.windows) for one in answer] == [4, 2]
        await until(lambda: screeners.health.alive == pool_size)
        assert screeners.health.losses[Loss.DIED] == 1
        assert len(before - set(screeners.fleet.pids)) == 1


async def test_a_kill_from_outside_loses_nothing(tmp_path: Path) -> None:
    """kill -9 at an idle process and at busy ones: every call is answered."""
    async with pool(tmp_path) as screeners:
        for _ in range(5):
            calls = [asyncio.create_task(screeners.run([f"some words {index}"], 100)) for index in range(20)]
            await asyncio.sleep(0)
            os.kill(screeners.fleet.pids[0], signal.SIGKILL)
            assert all(len(one.windows) == 3 for (one,) in await asyncio.gather(*calls))
            await until(lambda: screeners.health.alive == 2)
        assert screeners.health.losses[Loss.DIED] == 5


@pytest.mark.parametrize("word", ["stop-once", "hang-once", "saynothing-once"])
async def test_a_silent_process_costs_a_retry(tmp_path: Path, word: str) -> None:
    """Stopped, hung inside the model, or without an answer for this call alone: another one answers, and the hung one is replaced."""
    async with pool(tmp_path, pace=HASTY) as screeners:
        (scored,) = await screeners.run([word], 100)
        assert len(scored.windows) == 1
        if not word.startswith("say"):
            await until(lambda: screeners.health.losses[Loss.HUNG] >= 1 and screeners.health.alive == 2)


@pytest.mark.parametrize("word", ["saygarbage-once", "saynan-once", "saygap-once", "sayless-once", "saymore-once"])
async def test_nonsense_costs_a_retry(tmp_path: Path, word: str) -> None:
    """A process that breaks the protocol, or whose scores or windows cannot be, is replaced, and its call answered by another."""
    async with pool(tmp_path) as screeners:
        (scored,) = await screeners.run([f"{word} and"], 100)
        assert [len(word), 3] == [round(window.scores[0] * 100) for window in scored.windows]
        await until(lambda: screeners.health.losses[Loss.NONSENSE] == 1 and screeners.health.alive == 2)


@pytest.mark.parametrize(
    ("word", "error"), [("die", ClassifierUnavailable), ("saygarbage", ClassifierInvalid), ("hang", ClassifierTimeout)]
)
async def test_a_text_that_fells_every_process_gets_two(
    tmp_path: Path, word: str, error: type[ClassifierError]
) -> None:
    """It is tried on two of three and no more, ends as could-not-evaluate, and the third serves others meanwhile."""
    classifier = ScreenedClassifier(CARD, CANARIES, odd(tmp_path), 3, QUICK)
    await classifier.start()
    started = asyncio.create_task(classifier.score([word], budget=9, seconds=4 if word == "hang" else 60))
    while not started.done():
        (scored,) = await classifier.score([f"fine {time.monotonic_ns()}"], budget=9, seconds=60)
        assert len(scored.windows) == 2
    with pytest.raises(error):
        await started
    if word != "hang":
        await until(lambda: classifier.health.alive == 3)
        assert sum(classifier.health.losses.values()) == 2
    await classifier.close()


async def test_the_last_one_dead_is_unavailable_at_once(tmp_path: Path) -> None:
    """With nobody to ask, calls in flight and new ones fail instead of waiting; the restarted process answers again."""
    async with pool(tmp_path, 1) as screeners:
        with pytest.raises(ClassifierUnavailable, match="died"):
            await screeners.run(["die-once"], 9)
        with pytest.raises(ClassifierUnavailable, match="no screener is up"):
            await screeners.run(["fine"], 9)
        assert not screeners.health.fit
        await until(lambda: screeners.health.fit)
        assert len(await screeners.run(["die-once"], 9)) == 1


async def test_a_late_caller_costs_no_inference(tmp_path: Path) -> None:
    """Who has left is dropped in the process too: the rest of its text is never run."""
    async with pool(tmp_path, 1) as screeners:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await screeners.run(["slow " * 30 + "die"], 100)
        assert screeners._calls == screeners._chars == 0
        # Jobs take turns: the other text would have come to its end within this one.
        assert len(await screeners.run(["slow " * 60], 100)) == 1
        assert not any(screeners.health.losses.values())


async def test_bounds_of_what_waits(tmp_path: Path) -> None:
    """Too many calls at once, or too much text, are refused at once."""
    async with pool(tmp_path) as screeners:
        with pytest.raises(ClassifierUnavailable, match="full"):
            await screeners.run(["x" * (MOST_CHARS + 1)], 9)
        calls = [asyncio.create_task(screeners.run(["word"], 9)) for _ in range(MOST_CALLS)]
        await asyncio.sleep(0)
        with pytest.raises(ClassifierUnavailable, match="full"):
            await screeners.run(["word"], 9)
        assert len(await asyncio.gather(*calls)) == MOST_CALLS


async def test_real_weights_that_change_on_disk_are_refused(tmp_path: Path) -> None:
    """Each process verifies the files itself when it starts; a restart after a change takes no work."""
    classifier = ScreenedClassifier.from_folder(tmp_path, write_folder(tmp_path), 1)
    await classifier.start()
    harmless, harmful = await classifier.score(["a a", "z z"], budget=5, seconds=60)
    assert harmless.peak(0) < 0.5 <= harmful.peak(0)
    with (tmp_path / "head.json").open("ab") as file:
        file.write(b" ")
    pool = classifier._pool
    assert isinstance(pool, Screeners)
    os.kill(pool.fleet.pids[0], signal.SIGKILL)
    await until(lambda: classifier.health.losses[Loss.REFUSED] >= 1)
    assert not classifier.health.fit
    await classifier.close()


def test_shares_that_do_not_fit_together() -> None:
    """Different counts, and a gap at the seam, are nonsense."""
    first = Sweep((2,), (9,), (Window(0, 4, (0.1,)),))
    assert joined([first, Sweep((2,), (9,), (Window(3, 9, (0.2,)),))]).windows[1].end == 9
    for second in (Sweep((3,), (9,), (Window(3, 9, (0.2,)),)), Sweep((2,), (9,), (Window(5, 9, (0.2,)),))):
        with pytest.raises(ClassifierInvalid):
            joined([first, second])
