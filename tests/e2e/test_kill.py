"""What the model server saw is in the ledger, also when the gateway is killed in the middle of fifty streams; SIGTERM loses none."""

from __future__ import annotations

import asyncio
import json
import signal
from itertools import count
from pathlib import Path

import httpx
import pytest
from support.loops import playing, speaks
from support.running import CHAT, Running, command, flags, gateway, question

from gateway.demo.answers import Said
from gateway.demo.scripted import Handler, Recorded, Script

pytestmark = pytest.mark.xdist_group("e2e")
STREAMS = 50
STAGGER = 0.005
WORDS = tuple(f"word{number} " for number in range(60))


async def read(client: httpx.AsyncClient, number: int) -> bytes:
    """One stream as far as it came. They start one after the other, so that a kill finds exchanges at every stage."""
    got = b""
    await asyncio.sleep(number * STAGGER)
    try:
        async with client.stream("POST", CHAT, json=question(stream=True)) as answer:
            async for data in answer.aiter_bytes():
                got += data
    except httpx.TransportError:
        return got
    return got


def signals(running: Running, seen: int, act: signal.Signals, pace: float) -> Handler:
    """A slow model server that sends the gateway a signal the moment a certain request comes in."""
    speak, numbers = speaks(Said(WORDS), pace=pace), count(1)

    def answer(request: Recorded) -> Script:
        if next(numbers) == seen:
            running.process.send_signal(act)
        return speak(request)

    return answer


async def read_all(running: Running) -> list[bytes]:
    """Fifty concurrent streams."""
    limits = httpx.Limits(max_connections=STREAMS)
    async with httpx.AsyncClient(base_url=running.data, trust_env=False, timeout=30, limits=limits) as client:
        return await asyncio.gather(*(read(client, number) for number in range(STREAMS)))


def rows(state: Path) -> list[dict[str, object]]:
    """All rows of the ledger."""
    code, out, errors = command("ledger", "export", "--state", str(state))
    assert code == 0, errors
    return [json.loads(line) for line in out.splitlines()]


@pytest.mark.parametrize("seen", [1, 25, STREAMS])
async def test_what_the_model_server_saw_is_recorded(tmp_path: Path, seen: int) -> None:
    """After kill -9 in mid-stream and a restart the ledger verifies, and holds an intent row for every request that went upstream."""
    state = tmp_path / "state"
    with playing() as upstream:
        with gateway(state, flags(upstream.url, state)) as running:
            upstream.script(signals(running, seen, signal.SIGKILL, pace=0.05))
            answers = await read_all(running)
            running.process.wait(10)
        sent = {request.header("x-request-id") for request in upstream.requests}
        with gateway(state, flags(upstream.url, state)):
            code, out, errors = command("ledger", "verify", "--state", str(state), "--json")
            assert code == 0, out + errors
            intents = {row["request"] for row in rows(state) if row["kind"] == "intent"}
    assert not any(b"[DONE]" in answer for answer in answers), "it was not killed in mid-stream"
    assert len(sent) >= seen
    assert sent <= intents


async def test_sigterm_lets_streams_end(tmp_path: Path) -> None:
    """Fifty streams in flight at SIGTERM are all told to their end, each has its outcome row, and the exit code is 0."""
    state = tmp_path / "state"
    with playing() as upstream, gateway(state, flags(upstream.url, state)) as running:
        upstream.script(signals(running, STREAMS, signal.SIGTERM, pace=0.04))
        answers = await read_all(running)
        assert running.process.wait(20) == 0
    assert all(b"word59" in answer and answer.endswith(b"data: [DONE]\n\n") for answer in answers)
    outcomes = [row["outcome"] for row in rows(state) if row["kind"] == "outcome"]
    assert outcomes == ["served"] * STREAMS


async def test_what_is_recorded_by_count_is_covered_before_it_is_forwarded(tmp_path: Path) -> None:
    """Nine tenths full at ASL-1: after kill -9 each request that went upstream is covered by a row that was written before it went."""
    state = tmp_path / "state"
    full = state / "ledger" / "full"
    full.mkdir(parents=True)
    (full / "filler").write_bytes(bytes(93 << 20))
    environment = {"ASL_GATEWAY__LEDGER__MAX_BYTES": "100MiB"}
    with playing() as upstream:
        with gateway(state, flags(upstream.url, state, asl=1), environment) as running:
            upstream.script(signals(running, 25, signal.SIGKILL, pace=0.05))
            await read_all(running)
            running.process.wait(30)
        sent = {request.header("x-request-id") or "" for request in upstream.requests}
        with gateway(state, flags(upstream.url, state, asl=1)):
            code, out, errors = command("ledger", "verify", "--state", str(state), "--json")
            assert code == 0, out + errors
            found = rows(state)
    covers = [
        (str(row["from"]), str(row["until"])) for row in found if row["kind"] == "cover" and row["of"] == "intent"
    ]
    assert not [row for row in found if row["kind"] == "intent"]
    assert len(sent) >= 25
    for request in sent:
        assert any(begin <= request.replace("r-", "d-", 1) < end for begin, end in covers), request
