from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator

import pytest

from gateway.demo.scripted import ScriptedUpstream, Send, Sleep, head
from gateway.errors import UpstreamError
from gateway.upstream import Upstream, UpstreamAnswer

CHAT = "/v1/chat/completions"
HEADERS = (("content-type", "application/json"),)


@pytest.fixture
async def server() -> AsyncIterator[ScriptedUpstream]:
    """A scripted model server."""
    async with ScriptedUpstream() as running:
        yield running


async def read(upstream: Upstream) -> None:
    """Open, read all, close."""
    answer = await upstream.open(CHAT, HEADERS, b"{}")
    try:
        async for _ in answer.chunks():
            pass
    finally:
        await answer.close()


@pytest.mark.parametrize("where", ["head", "body", "close"])
async def test_the_server_sees_us_leave(server: ScriptedUpstream, where: str) -> None:
    """Cancelling the wait for the head, cancelling the reading, or closing early reaches the server well within a second."""
    body = (Send(head(length=10) + b"half"), Sleep(30))
    server.script((Sleep(30),) if where == "head" else body)
    client = Upstream(server.url)
    if where == "close":
        answer = await client.open(CHAT, HEADERS, b"{}")
        assert await anext(answer.chunks()) == b"half"
        left = asyncio.get_running_loop().time()
        await answer.close()
    else:
        task = asyncio.ensure_future(read(client))
        await asyncio.sleep(0.05)
        left = asyncio.get_running_loop().time()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    (request,) = server.requests
    await asyncio.wait_for(request.left.wait(), 15)
    assert math.isclose(request.left_at or 0, left, abs_tol=15)
    await client.close()


async def test_closing_from_another_task(server: ScriptedUpstream) -> None:
    """An answer that is closed while another task reads it ends that reading with an upstream error."""
    server.script((Send(head(length=10) + b"half"), Sleep(30)))
    client = Upstream(server.url)
    answer = await client.open(CHAT, HEADERS, b"{}")

    async def reading(open_answer: UpstreamAnswer) -> None:
        async for _ in open_answer.chunks():
            pass

    task = asyncio.ensure_future(reading(answer))
    await asyncio.sleep(0.01)
    await answer.close()
    with pytest.raises(UpstreamError, match="broke off"):
        await task
    await client.close()
