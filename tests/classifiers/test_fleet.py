from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.odd_pool import QUICK, gone, pool, until
from support.odd_screener import CANARIES, CARD, odd

from classifiers.base import ClassifierArtefact, ClassifierUnavailable, Loss
from classifiers.fleet import Fleet, Pace


@pytest.mark.parametrize(
    ("start", "message"), [("refuse", "not the pinned"), ("other", "pinned is"), ("blind", "told apart")]
)
async def test_none_that_can_be_trusted_is_a_refusal(tmp_path: Path, start: str, message: str) -> None:
    """Files that are not pinned, other weights, and canaries that are not told apart end the start, and every process."""
    fleet = Fleet(CARD, CANARIES, odd(tmp_path, start), 2, QUICK)
    with pytest.raises(ClassifierArtefact, match=message):
        await fleet.open()
    assert fleet.pids == ()


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
    fleet = Fleet(CARD, CANARIES, odd(tmp_path, start), 2, QUICK)
    with pytest.raises(ClassifierUnavailable, match="came up"):
        await fleet.open(0.5)
    assert fleet.pids == ()


async def test_a_start_that_is_cancelled_leaves_nothing(tmp_path: Path) -> None:
    """A gateway that is stopped while its screeners load ends them."""
    fleet = Fleet(CARD, CANARIES, odd(tmp_path, "silent"), 2, QUICK)
    opening = asyncio.create_task(fleet.open())
    await until(lambda: len(fleet.pids) == 2)
    pids = fleet.pids
    opening.cancel()
    with pytest.raises(asyncio.CancelledError):
        await opening
    assert fleet.pids == ()
    assert all(map(gone, pids))


async def test_a_program_that_is_not_there(tmp_path: Path) -> None:
    """A failed start of a process is an error of this package."""
    fleet = Fleet(CARD, CANARIES, lambda _: [str(tmp_path / "none")], 1, QUICK)
    with pytest.raises(ClassifierUnavailable):
        await fleet.open(0.3)


async def test_close_ends_calls_and_processes(tmp_path: Path) -> None:
    """What was asked fails, and nothing runs any more, not even what was stopped."""
    async with pool(tmp_path) as screeners:
        call = asyncio.create_task(screeners.run(["hang"], 9))
        await until(lambda: any(link.load for link in screeners.fleet.links.values()))
        pids = screeners.fleet.pids
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
from classifiers.fleet import Fleet
from pathlib import Path

async def main():
    fleet = Fleet(CARD, CANARIES, odd(Path(sys.argv[1])), 2)
    await fleet.open()
    print(*fleet.pids, flush=True)
    await asyncio.Event().wait()

asyncio.run(main())
"""


@pytest.fixture
def parent(tmp_path: Path) -> Iterator[tuple[subprocess.Popen[str], list[int]]]:
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


def test_pauses_double_up_to_the_longest_and_differ() -> None:
    """From half the first pause to one and a half of the longest, not all the same."""
    pace = Pace(first_pause=1, longest_pause=8)
    for failures, middle in ((1, 1), (2, 2), (4, 8), (500, 8)):
        pauses = {pace.pause(failures) for _ in range(50)}
        assert all(middle / 2 <= pause <= middle * 1.5 for pause in pauses)
        assert len(pauses) > 1
