from __future__ import annotations

import asyncio
from functools import partial

import pytest
from support.control_values import group, terms
from support.fake_classifier import FakeClassifier
from support.fake_clock import FakeClock

from gateway.controls.faults import ControlFault
from gateway.controls.halt import Halt
from gateway.controls.input_screen import InputScreen
from gateway.controls.roster import Roster, split, together
from gateway.controls.rulings import Tally
from gateway.controls.smallest import Smallest
from gateway.exchange import Direction
from gateway.verdict import Reason


def _roster() -> Roster:
    screen = InputScreen(FakeClassifier())
    return Roster({"halt": Halt(), "input_screen": screen}, FakeClock())


def test_a_control_must_be_listed_under_its_id() -> None:
    """A catalogue that names a control otherwise is refused: verdicts could be taken for another's."""
    with pytest.raises(ValueError, match="listed as"):
        Roster({"other": Halt()}, FakeClock())


def test_groups_are_sorted_and_told_apart() -> None:
    """Groups of one direction come inline first, each part by name; a missing member does not make a group slow."""
    b, a = group("halt", "gone", name="b"), group("halt", name="a")
    slow = group("halt", "input_screen", name="c")
    given = terms(b, slow, a, group("halt", name="x", direction=Direction.OUTPUT))
    assert _roster().groups(given, Direction.INPUT) == ([a, b], [slow])


def test_groups_follow_the_terms() -> None:
    """What was found for some terms is not given for others, nor for the other direction."""
    roster, one, two = _roster(), group("halt", name="a"), group("halt", name="b")
    first, second = terms(one), terms(two)
    for _ in range(2):
        assert roster.groups(first, Direction.INPUT) == ([one], [])
        assert roster.groups(first, Direction.OUTPUT) == ([], [])
        assert roster.groups(second, Direction.INPUT) == ([two], [])


def test_an_absent_control_is_unavailable() -> None:
    """A name that is not in the catalogue, or not for the direction, cannot be found."""
    roster = _roster()
    for name, direction in (("gone", Direction.INPUT), ("input_screen", Direction.OUTPUT)):
        with pytest.raises(ControlFault) as raised:
            roster.find(name, direction)
        assert raised.value.reason is Reason.CONTROL_UNAVAILABLE
    assert roster.find("halt", Direction.OUTPUT).id == "halt"


def test_shadow_members_do_not_decide() -> None:
    """Members in shadow are taken out of those that decide; both keep their order."""
    given = terms(shadow=("b",))
    assert split(group("a", "b", "c"), given) == (["a", "c"], ["b"])


async def test_an_attempt_is_timed_and_its_failure_entered() -> None:
    """Times are kept for successes and failures; a failure has its control, reason and group."""
    clock = FakeClock()
    roster, tally = Roster({}, clock), Tally("g")

    async def slow(*, fail: bool) -> int:
        clock.advance(0.25)
        if fail:
            raise RuntimeError
        return 7

    assert await roster.attempt(tally, "a", partial(slow, fail=False), None) == 7
    assert await roster.attempt(tally, "a", partial(slow, fail=True), 1.0) is None
    assert await roster.attempt(tally, "a", partial(slow, fail=False), 1.0) == 7
    assert tally.seconds == [("a", 0.25)] * 3
    assert [(one.control, one.reason, one.group) for one in tally.failures] == [("a", Reason.CONTROL_RAISED, "g")]


async def test_a_base_exception_ends_the_process_s_way() -> None:
    """What is not an Exception passes through, from one work and from several, as itself."""

    class End(BaseException):
        pass

    async def end() -> int:
        raise End

    async def wait() -> int:
        await asyncio.Event().wait()
        return 1

    with pytest.raises(End):
        await Roster({}, FakeClock()).attempt(Tally("g"), "a", end, None)
    with pytest.raises(End):
        await together([wait, end])
    with pytest.raises(End):
        await together([end])


async def test_together_keeps_the_order() -> None:
    """Results come in the order of the works, however they finish; none is no result."""

    async def later(turns: int) -> int:
        for _ in range(turns):
            await asyncio.sleep(0)
        return turns

    assert await together([partial(later, 3), partial(later, 1)]) == [3, 1]
    assert await together([partial(later, 2)]) == [2]
    assert await together([]) == []


async def test_cancelling_together_cancels_everybody() -> None:
    """When the task that waits is cancelled, every work is."""
    ended = []

    async def wait(name: int) -> int:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(name)
        return name

    task = asyncio.ensure_future(together([partial(wait, 1), partial(wait, 2)]))
    for _ in range(3):
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert sorted(ended) == [1, 2]


async def test_one_alone_runs_in_place() -> None:
    """A single work is awaited by the calling task itself: no task is made for it."""

    async def current() -> object:
        return asyncio.current_task()

    assert await together([current]) == [asyncio.current_task()]
    assert _tasks(await together([current, current])).isdisjoint({asyncio.current_task()})


def _tasks(found: list[object]) -> set[object]:
    return set(found)


def test_smallest_is_found_by_its_name() -> None:
    """A control may be listed under whatever id it gives itself."""
    assert Roster({"x": Smallest("x")}, FakeClock()).find("x", Direction.INPUT).id == "x"


@pytest.mark.parametrize("waits", [0, 1, 3])
@pytest.mark.parametrize("fails", [False, True])
async def test_what_waits_and_what_does_not_end_alike(waits: int, *, fails: bool) -> None:
    """A deadline far away changes nothing: results and errors are those of the work, wherever it waits."""

    async def work() -> int:
        for _ in range(waits):
            await asyncio.sleep(0)
        if fails:
            raise LookupError
        return 7

    tally = Tally("g")
    assert await Roster({}, FakeClock()).attempt(tally, "a", work, 60) == (None if fails else 7)
    assert [one.reason for one in tally.failures] == ([Reason.CONTROL_RAISED] if fails else [])


async def test_a_deadline_counts_from_the_beginning() -> None:
    """Work that waits for ever is ended at its deadline, and sees its cancellation; one that then answers is late all the same."""
    seen: list[str] = []

    async def hang(*, answers: bool) -> int:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            seen.append("cancelled")
            if not answers:
                raise
        return 7

    for answers in (False, True):
        tally = Tally("g")
        assert await Roster({}, FakeClock()).attempt(tally, "a", partial(hang, answers=answers), 0.01) is None
        assert [one.reason for one in tally.failures] == [Reason.CONTROL_TIMED_OUT]
    assert seen == ["cancelled"] * 2


async def test_work_given_up_half_way_is_closed() -> None:
    """When the task that waits is cancelled, the work is told, and the cancellation passes; what it waited for is let go."""
    ended = asyncio.Event()

    async def wait() -> int:
        try:
            await asyncio.sleep(0)
            await asyncio.Event().wait()
        finally:
            ended.set()
        return 1

    task = asyncio.ensure_future(Roster({}, FakeClock()).attempt(Tally("g"), "a", wait, 60))
    for _ in range(3):
        await asyncio.sleep(0)
    assert not ended.is_set()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert ended.is_set()


async def test_a_control_s_own_cancellation_is_not_ours() -> None:
    """A cancellation that a control leaks, before or after it waits, is its failure; the exchange goes on."""

    async def leaks(waits: int) -> int:
        for _ in range(waits):
            await asyncio.sleep(0)
        raise asyncio.CancelledError

    for waits in (0, 1):
        for seconds in (None, 60.0):
            tally = Tally("g")
            assert await Roster({}, FakeClock()).attempt(tally, "a", partial(leaks, waits), seconds) is None
            assert [one.reason for one in tally.failures] == [Reason.CONTROL_UNAVAILABLE]
