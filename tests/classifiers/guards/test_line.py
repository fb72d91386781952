"""Which server is asked, when a second one is, and which are left alone."""

from __future__ import annotations

import asyncio

import pytest
from support.fake_clock import FakeClock

from classifiers.base import ClassifierInvalid, ClassifierTimeout, ClassifierUnavailable, Loss
from classifiers.guards.calls import Call
from classifiers.guards.line import ENOUGH, FAILURES, MOST_SAVED, Line

CALL = Call("/", b"{}")


class Servers:
    """Servers by URL: each answers at once, waits for its event, or raises."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.errors: dict[str, Exception] = {}
        self.waits: dict[str, asyncio.Event] = {}
        self.cancelled: list[str] = []

    async def send(self, url: str, call: Call) -> bytes:
        assert call is CALL
        self.asked.append(url)
        if url in self.waits:
            try:
                await self.waits[url].wait()
            except asyncio.CancelledError:
                self.cancelled.append(url)
                raise
        if url in self.errors:
            raise self.errors[url]
        return url.encode()


@pytest.fixture
def servers() -> Servers:
    return Servers()


async def warm(line: Line) -> None:
    """Enough quick answers to know how long one takes."""
    for _ in range(ENOUGH):
        await line.ask(CALL)


async def test_servers_take_turns(servers: Servers) -> None:
    """Each call goes to the next."""
    line = Line(["a", "b"], servers.send, 60)
    assert [await line.ask(CALL) for _ in range(4)] == [b"a", b"b", b"a", b"b"]


async def test_a_late_answer_is_asked_of_another(servers: Servers) -> None:
    """Beyond the usual time a second server is asked; its answer counts, and the first call is given up."""
    line = Line(["a", "b"], servers.send, 60)
    await warm(line)
    servers.asked.clear()
    servers.waits["a"] = asyncio.Event()
    async with asyncio.timeout(30):
        assert await line.ask(CALL) == b"b"
    assert servers.asked == ["a", "b"]
    assert servers.cancelled == ["a"]
    assert not any(server.resting for server in line.servers)
    assert not any(line.losses.values())


async def test_a_single_server_is_asked_again(servers: Servers) -> None:
    """With one server the second question goes there too: another connection may be luckier."""
    line = Line(["a"], servers.send, 60)
    await warm(line)
    servers.asked.clear()
    servers.waits["a"] = asyncio.Event()
    asking = asyncio.create_task(line.ask(CALL))
    async with asyncio.timeout(30):
        while len(servers.asked) < 2:
            await asyncio.sleep(0.005)
    servers.waits["a"].set()
    assert await asking == b"a"


async def test_too_little_known_is_no_reason_to_ask_twice(servers: Servers) -> None:
    """Before there are enough answers nobody is asked twice."""
    line = Line(["a", "b"], servers.send, 60)
    assert line.patience is None
    await warm(line)
    assert line.patience is not None


async def test_second_questions_are_rationed(servers: Servers) -> None:
    """When every answer is late, a tenth of the calls is asked twice once the savings are spent: slowness is not doubled."""
    line = Line(["a"], servers.send, 60)
    await warm(line)
    servers.asked.clear()
    for index in range(40):
        servers.waits["a"] = asyncio.Event()
        before = len(servers.asked)
        asking = asyncio.create_task(line.ask(CALL))
        async with asyncio.timeout(30):
            while len(servers.asked) == before:
                await asyncio.sleep(0)
            # the savings hold for the first calls; after that only the rare second question comes
            while index < MOST_SAVED and len(servers.asked) == before + 1:
                await asyncio.sleep(0.001)
        servers.waits["a"].set()
        await asking
    assert MOST_SAVED <= len(servers.asked) - 40 <= MOST_SAVED + 4


async def test_an_absent_server_is_replaced_at_once(servers: Servers) -> None:
    """A failure is asked of another server, and after some failures the first is not asked any more."""
    line = Line(["a", "b"], servers.send, 60)
    servers.errors["a"] = ClassifierUnavailable("gone")
    assert [await line.ask(CALL) for _ in range(10)] == [b"b"] * 10
    assert servers.asked.count("a") == FAILURES
    assert [server.resting for server in line.servers] == [True, False]
    assert line.losses[Loss.DIED] == FAILURES


async def test_a_pause_grows_and_ends(servers: Servers) -> None:
    """After 1 s one call tries the server; failing it waits twice as long; answering it is back for everybody."""
    clock = FakeClock()
    line = Line(["a"], servers.send, 60, clock.monotonic)
    servers.errors["a"] = ClassifierUnavailable("gone")
    tried = []
    for _ in range(20):
        with pytest.raises(ClassifierUnavailable):
            await line.ask(CALL)
        tried.append(len(servers.asked))
        clock.advance(0.5)
    assert tried[:8] == [1, 2, 3, 3, 4, 4, 4, 4]
    assert tried[-1] <= 6
    del servers.errors["a"]
    clock.advance(31)
    assert await line.ask(CALL) == b"a"
    assert not line.servers[0].resting
    assert await line.ask(CALL) == b"a"


async def test_what_a_text_causes_counts_against_nobody(servers: Servers) -> None:
    """A server that refuses a text is there: it stays in use, and no other is asked about that text."""
    line = Line(["a", "b"], servers.send, 60)
    servers.errors = {"a": ClassifierInvalid("no"), "b": ClassifierInvalid("no")}
    for _ in range(8):
        with pytest.raises(ClassifierInvalid):
            await line.ask(CALL)
    assert len(servers.asked) == 8
    assert not any(server.resting for server in line.servers)
    assert line.losses[Loss.REFUSED] == 8


async def test_no_answer_in_time(servers: Servers) -> None:
    """A server has its seconds, no more; three times too late and it is left alone."""
    line = Line(["a"], servers.send, 0.01)
    servers.waits["a"] = asyncio.Event()
    for _ in range(FAILURES):
        with pytest.raises(ClassifierTimeout):
            await line.ask(CALL)
    with pytest.raises(ClassifierUnavailable, match="left alone"):
        await line.ask(CALL)
    assert line.losses[Loss.HUNG] == FAILURES


async def test_a_caller_who_leaves_counts_against_nobody(servers: Servers) -> None:
    """A cancelled call cancels its request, and the server is not blamed."""
    line = Line(["a"], servers.send, 60)
    servers.waits["a"] = asyncio.Event()
    asking = asyncio.create_task(line.ask(CALL))
    async with asyncio.timeout(30):
        while not servers.asked:
            await asyncio.sleep(0)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    assert servers.cancelled == ["a"]
    assert not any(line.losses.values())


async def test_both_failing_is_a_failure(servers: Servers) -> None:
    """When the second fails too, its error is the caller's."""
    line = Line(["a", "b"], servers.send, 60)
    servers.errors = {"a": ClassifierUnavailable("gone"), "b": ClassifierUnavailable("gone too")}
    with pytest.raises(ClassifierUnavailable, match="gone"):
        await line.ask(CALL)
