"""kill -9 in the middle of fifty streams: what the model server saw, against the rows of the ledger after a restart."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import httpx

from gateway.demo.answers import Said, openai_events
from gateway.demo.scripted import Handler, Recorded, Script, ScriptedUpstream, streamed
from loadtests.rig import CHAT, Running, body, command, folder, gateway

STREAMS = 50
SECONDS = 20
PACE_SECONDS = 0.05
STAGGER_SECONDS = 0.005


@dataclass(frozen=True, slots=True)
class Killed:
    """One cycle. ``missing`` are requests that the model server saw and the ledger has no intent row of; it must be 0."""

    killed_at: int
    upstream: int
    intents: int
    missing: int
    verify_exit: int


def cycles() -> list[Killed]:
    """One cycle for each moment: as the first, the twenty-fifth and the last of the streams has reached the model server."""
    return [asyncio.run(_cycle(seen)) for seen in (1, STREAMS // 2, STREAMS)]


async def _cycle(seen: int) -> Killed:
    async with ScriptedUpstream() as upstream:
        with folder() as base:
            await _kill(upstream, base / "state", seen)
            sent = {request.header("x-request-id") or "" for request in upstream.requests}
            return await asyncio.to_thread(_restart, upstream.url, base / "state", seen, sent)


async def _kill(upstream: ScriptedUpstream, state: Path, seen: int) -> None:
    ready = gateway(upstream.url, state, classifiers=False)
    running = await asyncio.to_thread(ready.__enter__)
    try:
        upstream.script(_killer(running, seen))
        limits = httpx.Limits(max_connections=STREAMS)
        async with httpx.AsyncClient(base_url=running.data, trust_env=False, timeout=SECONDS, limits=limits) as client:
            await asyncio.gather(*(_read(client, number) for number in range(STREAMS)))
    finally:
        await asyncio.to_thread(ready.__exit__, None, None, None)


def _killer(running: Running, seen: int) -> Handler:
    """A slow model server that kills the gateway the moment a certain request comes in."""
    words = tuple(f"word{number} " for number in range(100))
    script, numbers = streamed(openai_events(Said(words)), pace=PACE_SECONDS), count(1)

    def answer(_: Recorded) -> Script:
        if next(numbers) == seen:
            running.process.kill()
        return script

    return answer


async def _read(client: httpx.AsyncClient, number: int) -> None:
    """One stream. They start one after the other, so that the kill finds exchanges at every stage."""
    await asyncio.sleep(number * STAGGER_SECONDS)
    try:
        async with client.stream("POST", CHAT, json=body("Hello.", stream=True)) as answer:
            async for _ in answer.aiter_bytes():
                pass
    except httpx.TransportError:
        return  # killed, as it should be


def _restart(url: str, state: Path, seen: int, sent: set[str]) -> Killed:
    with gateway(url, state, classifiers=False):
        verified, _ = command("ledger", "verify", "--state", str(state))
        _, out = command("ledger", "export", "--state", str(state))
    rows = [json.loads(line) for line in out.splitlines()]
    intents = {row["request"] for row in rows if row["kind"] == "intent"}
    return Killed(seen, len(sent), len(intents), len(sent - intents), verified)
