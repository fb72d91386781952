"""One real parser process: asked, killed under way, silent, and talking nonsense."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path

import pytest
from support.pipelines import BOTH_DIALECTS, OPENAI, body_of
from support.running import until

from gateway.errors import BadRequest
from gateway.parsing.frames import Ask
from gateway.parsing.process import ProcessFailed, start
from gateway.wire.base import Dialect, WireLimits

LIMITS = WireLimits()
SECONDS = 60
LARGE = body_of(OPENAI, "word " * 400_000)

NONSENSE = [
    "import socket,sys; s=socket.socket(fileno=int(sys.argv[1])); s.recv(10); s.sendall(b'\\x00\\x00\\x00\\x03abc'); s.recv(1<<30)",
    "import socket,sys; s=socket.socket(fileno=int(sys.argv[1])); s.recv(10); s.sendall(b'\\xff\\xff\\xff\\xff'); s.recv(1<<30)",
]


@pytest.mark.parametrize("dialect", BOTH_DIALECTS, ids=lambda dialect: dialect.id)
async def test_it_parses_as_in_place(dialect: Dialect) -> None:
    """Large bodies, one after the other, give what the dialect gives."""
    process = await start()
    try:
        for number, text in enumerate(("word " * 100_000, "é" * 300_000)):
            body = body_of(dialect, text)
            async with asyncio.timeout(SECONDS):
                made = await process.ask(Ask(number, dialect.id, LIMITS, len(body)), body)
            here = dialect.parse(body, LIMITS)
            assert made.leaves == here.leaves
            assert dialect.request(made, "m") == dialect.request(here, "m")
    finally:
        await process.kill()


async def test_a_refusal_leaves_it_usable() -> None:
    """What the parser has against a body is raised here, and the next body is parsed."""
    process = await start()
    try:
        async with asyncio.timeout(SECONDS):
            with pytest.raises(BadRequest, match="JSON"):
                await process.ask(Ask(1, OPENAI.id, LIMITS, len(b"{" + b" " * 300_000)), b"{" + b" " * 300_000)
            assert (await process.ask(Ask(2, OPENAI.id, LIMITS, len(LARGE)), LARGE)).size == len(LARGE)
    finally:
        await process.kill()


async def test_killed_under_way() -> None:
    """kill -9 between two bodies, or in one, is a failure, never an exchange."""
    process = await start()
    os.kill(process.pid, signal.SIGKILL)
    async with asyncio.timeout(SECONDS):
        with pytest.raises(ProcessFailed, match="killed"):
            await process.ask(Ask(1, OPENAI.id, LIMITS, len(LARGE)), LARGE)
    await process.kill()
    assert not Path(f"/proc/{process.pid}").exists()


@pytest.mark.parametrize("code", NONSENSE, ids=["no message", "impossible length"])
async def test_nonsense(code: str) -> None:
    """A process that says anything else than an answer has failed."""
    process = await start((sys.executable, "-c", code))
    async with asyncio.timeout(SECONDS):
        with pytest.raises(ProcessFailed, match="nonsense"):
            await process.ask(Ask(1, OPENAI.id, LIMITS, len(b"{}")), b"{}")
    await process.kill()


async def test_it_cannot_be_started() -> None:
    """A missing interpreter is a failure with its own reason."""
    with pytest.raises(ProcessFailed, match="not_started"):
        await start(("/nonexistent/python",))


async def test_it_gets_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment of the gateway holds keys of model servers: the process sees none of it."""
    monkeypatch.setenv("UPSTREAM_KEY", "very-secret")
    process = await start()
    environment = await asyncio.to_thread(until, lambda: Path(f"/proc/{process.pid}/environ").read_bytes())
    await process.kill()
    assert b"very-secret" not in environment
