"""Where bodies are parsed, with real processes: whatever happens to one, no body goes on unparsed, and large ones are served again."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
from support.canary import CANARY
from support.fake_clock import FakeClock
from support.pipelines import ANTHROPIC, OPENAI, bench, body_of

from gateway.errors import BadRequest, SafeguardUnavailable
from gateway.exchange import Exchange
from gateway.limits import Limits
from gateway.parsing.parser import REASONS, Parser, Patience
from gateway.parsing.process import COMMAND, Process, start
from gateway.wire.base import WireLimits

LIMITS = WireLimits()
LARGE = body_of(OPENAI, "word " * 100_000)
HANGS = (sys.executable, "-c", "import time; time.sleep(600)")
LIES = (
    sys.executable,
    "-c",
    "import socket,sys; s=socket.socket(fileno=int(sys.argv[1])); s.sendall(b'nonsense' * 9)\nwhile s.recv(1 << 16): pass",
)
DIES = (sys.executable, "-c", "import sys; sys.exit(3)")


class Starter:
    """Starts one command after the other, then real parsers."""

    def __init__(self, *commands: tuple[str, ...]) -> None:
        self.commands = list(commands)
        self.started = 0

    async def __call__(self) -> Process:
        self.started += 1
        return await start(self.commands.pop(0) if self.commands else COMMAND)


@asynccontextmanager
async def parsing(
    *commands: tuple[str, ...], work: float = 60.0
) -> AsyncIterator[tuple[Parser, list[str], FakeClock, Starter]]:
    """A parser whose first processes are given; its failures, clock and starter."""
    clock, failures, starter = FakeClock(), [], Starter(*commands)
    parser = Parser(clock, failures.append, Patience(turn=60.0, work=work), starter)
    try:
        yield parser, failures, clock, starter
    finally:
        await parser.close()


async def test_small_bodies_start_no_process() -> None:
    """The ordinary request is parsed in place."""
    async with parsing() as (parser, _, _, starter):
        assert (await parser.parse(OPENAI, body_of(OPENAI), LIMITS)).leaves
        with pytest.raises(BadRequest):
            await parser.parse(OPENAI, b"{", LIMITS)
        assert (starter.started, parser.pid) == (0, None)


async def test_many_large_bodies_share_one_process() -> None:
    """Each gets its own exchange, whatever the order, and a refused one disturbs none."""
    async with parsing() as (parser, failures, _, starter):
        bodies = [body_of(dialect, f"{n} " * 150_000) for n, dialect in enumerate((OPENAI, ANTHROPIC) * 3)]
        asked = [parser.parse((OPENAI, ANTHROPIC)[n % 2], body, LIMITS) for n, body in enumerate(bodies)]
        made = await asyncio.gather(*asked, parser.parse(OPENAI, b"x" * 300_000, LIMITS), return_exceptions=True)
        assert isinstance(made.pop(), BadRequest)
        for n, exchange in enumerate(made):
            assert isinstance(exchange, Exchange)
            assert exchange.leaves[0].text.startswith(f"{n} ")
        assert (starter.started, failures) == (1, [])


@pytest.mark.parametrize(
    ("command", "reason"), [(HANGS, "hung"), (LIES, "nonsense"), (DIES, "killed"), (("/nonexistent",), "not_started")]
)
async def test_a_broken_process_costs_its_body_and_nothing_else(command: tuple[str, ...], reason: str) -> None:
    """503 for the body it had, the reason counted, a fresh process for the next body at once."""
    async with parsing(command, work=1.0 if command is HANGS else 60.0) as (parser, failures, _, _):
        with pytest.raises(SafeguardUnavailable):
            await parser.parse(OPENAI, LARGE, LIMITS)
        assert failures == [reason]
        assert reason in REASONS
        parser._patience = Patience(60.0, 60.0)
        assert (await parser.parse(OPENAI, LARGE, LIMITS)).size == len(LARGE)


async def test_one_that_goes_on_failing_is_started_less_and_less_often() -> None:
    """Within a pause bodies are refused at once and nothing is started; after it, one is."""
    async with parsing(DIES, DIES, DIES) as (parser, failures, clock, starter):
        starts = []
        for _ in range(7):
            with pytest.raises(SafeguardUnavailable):
                await parser.parse(OPENAI, LARGE, LIMITS)
            starts.append(starter.started)
            clock.advance(0.06)
        assert starts == [1, 2, 2, 3, 3, 3, 3]
        assert failures == ["killed"] * 3
        clock.advance(0.2)
        assert await parser.parse(OPENAI, LARGE, LIMITS)


async def test_a_client_that_leaves_costs_nobody_the_process() -> None:
    """The answer that nobody waits for is read to its end and thrown away; the next body gets its own."""
    async with parsing() as (parser, failures, _, starter):
        await parser.parse(OPENAI, LARGE, LIMITS)
        left = asyncio.ensure_future(parser.parse(OPENAI, body_of(OPENAI, "left " * 300_000), LIMITS))
        await asyncio.sleep(0)
        left.cancel()
        made = await parser.parse(OPENAI, body_of(OPENAI, "stays " * 100_000), LIMITS)
        assert made.leaves[0].text.startswith("stays ")
        assert (starter.started, failures) == (1, [])


KILLS: dict[str, Callable[[int], None]] = {
    "killed": lambda pid: os.kill(pid, signal.SIGKILL),
    "stopped": lambda pid: os.kill(pid, signal.SIGSTOP),
}


@pytest.mark.parametrize("how", KILLS)
async def test_a_body_in_a_killed_or_hung_process_never_reaches_the_model(how: str) -> None:
    """A canary behind a large text: 503 and a row while the process is gone, blocked once it is back, and forwarded never."""
    clock, failures = FakeClock(), []
    parser = Parser(clock, failures.append, Patience(turn=60.0, work=60.0))
    body = body_of(OPENAI, "word " * 100_000 + CANARY)
    async with bench(parser=parser, limits=Limits(64 << 20, 8 << 20, 10)) as b:
        try:
            await parser.parse(OPENAI, LARGE, LIMITS)
            assert parser.pid is not None
            KILLS[how](parser.pid)
            parser._patience = Patience(60.0, 1.0 if how == "stopped" else 60.0)
            client = await asyncio.wait_for(b.ask(OPENAI, body), 60)
            assert (client.status, client.body["error"]["code"]) == (503, "safeguard_unavailable")
            assert b.outcome["outcome"] == "unevaluated"
            parser._patience = Patience(60.0, 60.0)
            again = await asyncio.wait_for(b.ask(OPENAI, body), 60)
            assert (again.status, again.body["error"]["code"]) == (400, "content_filter")
            assert b.upstream.requests == []
        finally:
            await parser.close()
