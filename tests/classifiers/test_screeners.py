from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from support.odd_screener import CANARIES, CARD, odd
from support.tiny_model import write_folder

from classifiers.base import (
    ClassifierArtefact,
    ClassifierError,
    ClassifierInvalid,
    ClassifierTimeout,
    ClassifierUnavailable,
    Loss,
    OverBudget,
    Window,
)
from classifiers.job import Sweep
from classifiers.screeners import MOST_CALLS, MOST_CHARS, SHARE_CHARS, Pace, ScreenedClassifier, Screeners, joined

# Silence is not mistaken for a hang on a busy machine; where a test is about hanging, it is one after three seconds.
QUICK = Pace(beat=0.05, hung=2000, first_pause=0.01, longest_pause=0.05)
HASTY = Pace(beat=0.05, hung=60, first_pause=0.01, longest_pause=0.05)


@contextlib.asynccontextmanager
async def pool(folder: Path, count: int = 2, pace: Pace = QUICK, start: str = "good") -> AsyncIterator[Screeners]:
    """Odd screeners that are up."""
    made = Screeners(CARD, CANARIES, odd(folder, start), count, pace)
    await made.open()
    try:
        yield made
    finally:
        await made.close()


async def until(holds: Callable[[], object]) -> None:
    """Wait for a process."""
    async with asyncio.timeout(60):
        while not holds():
            await asyncio.sleep(0.02)


def gone(pid: int) -> bool:
    """Whether a process has ended, be it reaped or not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True


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
        before = set(screeners.pids)
        calls = [screeners.run([f"die-once and number {index}", "more text"], 100) for index in range(10)]
        for answer in await asyncio.gather(*calls):
            assert [len(one.windows) for one in answer] == [4, 2]
        await until(lambda: screeners.health.alive == pool_size)
        assert screeners.health.losses[Loss.DIED] == 1
        assert len(before - set(screeners.pids)) == 1


async def test_a_kill_from_outside_loses_nothing(tmp_path: Path) -> None:
    """kill -9 at an idle process and at busy ones: every call is answered."""
    async with pool(tmp_path) as screeners:
        for _ in range(5):
            calls = [asyncio.create_task(screeners.run([f"some words {index}"], 100)) for index in range(20)]
            await asyncio.sleep(0)
            os.kill(screeners.pids[0], signal.SIGKILL)
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


@pytest.mark.parametrize(
    ("start", "message"), [("refuse", "not the pinned"), ("other", "pinned is"), ("blind", "told apart")]
)
async def test_none_that_can_be_trusted_is_a_refusal(tmp_path: Path, start: str, message: str) -> None:
    """Files that are not pinned, other weights, and canaries that are not told apart end the start, and every process."""
    screeners = Screeners(CARD, CANARIES, odd(tmp_path, start), 2, QUICK)
    with pytest.raises(ClassifierArtefact, match=message):
        await screeners.open()
    assert screeners.pids == ()


@pytest.mark.parametrize(("start", "loss"), [("refuse-once", Loss.REFUSED), ("crash-once", Loss.DIED)])
async def test_one_bad_start_does_not_keep_the_other_from_working(tmp_path: Path, start: str, loss: Loss) -> None:
    """The good one takes work, the bad one takes none, and is tried again."""
    async with pool(tmp_path, start=start) as screeners:
        assert screeners.health.losses[loss] == 1
        assert len(await screeners.run(["fine"], 9)) == 1
        await until(lambda: screeners.health.alive == 2)


@pytest.mark.parametrize("start", ["crash", "silent"])
async def test_nobody_comes_up_in_time(tmp_path: Path, start: str) -> None:
    """A start without an end is given up, and no process stays."""
    screeners = Screeners(CARD, CANARIES, odd(tmp_path, start), 2, QUICK)
    with pytest.raises(ClassifierUnavailable, match="came up"):
        await screeners.open(0.5)
    assert screeners.pids == ()


async def test_a_start_that_is_cancelled_leaves_nothing(tmp_path: Path) -> None:
    """A gateway that is stopped while its screeners load ends them."""
    screeners = Screeners(CARD, CANARIES, odd(tmp_path, "silent"), 2, QUICK)
    opening = asyncio.create_task(screeners.open())
    await until(lambda: len(screeners.pids) == 2)
    pids = screeners.pids
    opening.cancel()
    with pytest.raises(asyncio.CancelledError):
        await opening
    assert screeners.pids == ()
    assert all(map(gone, pids))


async def test_a_program_that_is_not_there(tmp_path: Path) -> None:
    """A failed start of a process is an error of this package."""
    screeners = Screeners(CARD, CANARIES, lambda _: [str(tmp_path / "none")], 1, QUICK)
    with pytest.raises(ClassifierUnavailable):
        await screeners.open(0.3)


async def test_close_ends_calls_and_processes(tmp_path: Path) -> None:
    """What was asked fails, and nothing runs any more, not even what was stopped."""
    async with pool(tmp_path) as screeners:
        call = asyncio.create_task(screeners.run(["hang"], 9))
        await until(lambda: any(link.load for link in screeners._links.values()))
        pids = screeners.pids
        os.kill(pids[0], signal.SIGSTOP)
        await screeners.close()
        with pytest.raises(ClassifierUnavailable):
            await call
        with pytest.raises(ClassifierUnavailable, match="closed"):
            await screeners.run(["fine"], 9)
        assert all(map(gone, pids))


PARENT = """
import asyncio, sys, threading
from support.odd_screener import CANARIES, CARD, odd
from classifiers.screeners import Screeners
from pathlib import Path

async def main():
    screeners = Screeners(CARD, CANARIES, odd(Path(sys.argv[1])), 2)
    await screeners.open()
    print(*screeners.pids, flush=True)
    await asyncio.Event().wait()

asyncio.run(main())
"""


@pytest.fixture
def parent(tmp_path: Path) -> AsyncIterator[tuple[subprocess.Popen[str], list[int]]]:
    """A process in a group of its own with two screeners, and their pids."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", PARENT, str(tmp_path)]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, env=environment, start_new_session=True
    ) as process:
        assert process.stdout is not None
        try:
            yield process, [int(pid) for pid in process.stdout.readline().split()]
        finally:
            process.kill()


async def test_a_parent_that_is_killed_leaves_no_orphan(parent: tuple[subprocess.Popen[str], list[int]]) -> None:
    """kill -9 of the gateway ends its screeners, the one that is stopped too."""
    process, pids = parent
    assert len(pids) == 2
    os.kill(pids[0], signal.SIGSTOP)
    process.kill()
    process.wait()
    await until(lambda: all(map(gone, pids)))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
async def test_signals_do_not_end_a_screener(
    parent: tuple[subprocess.Popen[str], list[int]], number: signal.Signals
) -> None:
    """It is out of reach of the group's signals, and ignores its own: it judges until the gateway is done."""
    process, pids = parent
    assert all(os.getpgid(pid) != os.getpgid(process.pid) for pid in pids)
    for pid in pids:
        os.kill(pid, number)
    blocked = [Path(f"/proc/{pid}/status").read_text().split("SigIgn:\t")[1].split()[0] for pid in pids]
    assert all(int(mask, 16) >> (number - 1) & 1 for mask in blocked)
    assert not any(map(gone, pids))


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
    os.kill(pool.pids[0], signal.SIGKILL)
    await until(lambda: classifier.health.losses[Loss.REFUSED] >= 1)
    assert not classifier.health.fit
    await classifier.close()


def test_pauses_double_up_to_the_longest_and_differ() -> None:
    """From half the first pause to one and a half of the longest, not all the same."""
    pace = Pace(first_pause=1, longest_pause=8)
    for failures, middle in ((1, 1), (2, 2), (4, 8), (500, 8)):
        pauses = {pace.pause(failures) for _ in range(50)}
        assert all(middle / 2 <= pause <= middle * 1.5 for pause in pauses)
        assert len(pauses) > 1


def test_shares_that_do_not_fit_together() -> None:
    """Different counts, and a gap at the seam, are nonsense."""
    first = Sweep((2,), (9,), (Window(0, 4, (0.1,)),))
    assert joined([first, Sweep((2,), (9,), (Window(3, 9, (0.2,)),))]).windows[1].end == 9
    for second in (Sweep((3,), (9,), (Window(3, 9, (0.2,)),)), Sweep((2,), (9,), (Window(5, 9, (0.2,)),))):
        with pytest.raises(ClassifierInvalid):
            joined([first, second])
