from __future__ import annotations

import asyncio
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.fake_engine import FakeEngine

from classifiers.base import ClassifierInvalid, ClassifierUnavailable, OverBudget, Window
from classifiers.job import WHOLE, Job, Share, Sweep, assemble, check_scores


def test_check_scores() -> None:
    """Only one finite number in [0, 1] per category passes."""
    assert check_scores((0.0, 1.0), 2) == (0.0, 1.0)
    for bad in ((0.5,), (float("inf"), 0.5), (-0.1, 0.5), (0.1, 1.1)):
        with pytest.raises(ClassifierInvalid):
            check_scores(bad, 2)


@given(st.integers(0, 5000), st.integers(1, 64))
def test_shares_cover_every_window_once(windows: int, of: int) -> None:
    """Each share begins where the one before ends, the first at 0, the last at the end."""
    bounds = [Share(index, of).bounds(windows) for index in range(of)]
    assert bounds[0][0] == 0
    assert bounds[-1][1] == windows
    assert all(before[1] == after[0] for before, after in pairwise(bounds))


def test_assemble_gives_each_message_its_windows() -> None:
    """Windows are dealt out by the counts; an empty message gets none."""
    windows = tuple(Window(index, index + 1, (0.1,)) for index in range(3))
    first, empty, last = assemble(Sweep((2, 0, 1), (40, 0, 5), windows))
    assert (first.windows, empty.windows, last.windows) == (windows[:2], (), windows[2:])
    assert (first.tokens, empty.tokens, last.tokens) == (40, 0, 5)


async def test_a_job_ends_once() -> None:
    """A failure lets the texts go, and what comes after it changes nothing; one that is over budget says by how much."""
    loop = asyncio.get_running_loop()
    job = Job(["a b c", "d"], 9, WHOLE, loop)
    assert job.plan(FakeEngine())
    assert not job.plan(FakeEngine())
    part = job.take()
    job.fail(ClassifierUnavailable("first"))
    job.fail(ClassifierUnavailable("second"))
    job.deliver(part.start, [Window(span.start, span.end, (0.1,)) for span in part.spans])
    assert job.dropped
    with pytest.raises(ClassifierUnavailable, match="first"):
        await job.future
    with pytest.raises(OverBudget, match="4 windows needed, 3 allowed"):
        Job(["a b c", "d"], 3, WHOLE, loop).plan(FakeEngine())
