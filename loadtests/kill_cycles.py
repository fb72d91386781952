"""kill -9 again and again under load, on one state directory: what the model server saw, against the ledger after each restart.

``python -m loadtests.kill_cycles [CYCLES]`` shows its progress and ends with 1 when a request has no intent row or a chain does not verify.
"""

from __future__ import annotations

import asyncio
import random
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import httpx

from gateway.demo.answers import Said, openai_events
from gateway.demo.scripted import Recorded, Script, ScriptedUpstream, streamed
from gateway.ledger.rows import parse
from gateway.ledger.verify import export, verify
from gateway.state.sqlite import heads
from loadtests.rig import CHAT, body, folder, gateway

STREAMS = 12
STAGGER_SECONDS = 0.01
KILL_SECONDS = 0.25
SECONDS = 30
WORDS = tuple(f"word{number} " for number in range(30))


@dataclass(frozen=True, slots=True)
class Tally:
    """What so many cycles showed. ``missing``: requests at the model server without an intent row; ``unverified``: kills
    after which the ledger did not verify. Both must be 0; a gateway that does not start again raises RigFailed.
    """

    cycles: int = 0
    upstream: int = 0
    missing: int = 0
    unverified: int = 0


def cycles(number: int, state: Path, report: Callable[[Tally], None]) -> Tally:
    """Kill a gateway so many times; each cycle's restart is checked, serves one exchange, and is killed by the next."""
    return asyncio.run(_cycles(number, state, report))


async def _cycles(number: int, state: Path, report: Callable[[Tally], None]) -> Tally:
    tally, chance = Tally(), random.Random(number)
    async with ScriptedUpstream() as upstream:
        for _ in range(number):
            await _killed(upstream, state, chance.random() * KILL_SECONDS)
            tally = await asyncio.to_thread(_checked, tally, upstream, state)
            report(tally)
        ready = gateway(upstream.url, state, classifiers=False)
        running = await asyncio.to_thread(ready.__enter__)
        try:
            async with httpx.AsyncClient(base_url=running.data, trust_env=False, timeout=SECONDS) as client:
                answer = await client.post(CHAT, json=body("Hello.", stream=True))
                assert answer.text.endswith("data: [DONE]\n\n"), answer.text
        finally:
            await asyncio.to_thread(ready.__exit__, None, None, None)
    return tally


async def _killed(upstream: ScriptedUpstream, state: Path, after: float) -> None:
    """A gateway under load, killed ``after`` seconds from its first request at the model server."""
    reached, script = asyncio.Event(), streamed(openai_events(Said(WORDS)), pace=0.01)

    def answer(_: Recorded) -> Script:
        reached.set()
        return script

    upstream.script(answer)
    ready = gateway(upstream.url, state, classifiers=False)
    running = await asyncio.to_thread(ready.__enter__)
    try:
        async with httpx.AsyncClient(base_url=running.data, trust_env=False, timeout=SECONDS) as client:
            streams = [asyncio.create_task(_read(client, number)) for number in range(STREAMS)]
            async with asyncio.timeout(SECONDS):
                await reached.wait()
            await asyncio.sleep(after)
            running.process.kill()
            await asyncio.gather(*streams)
    finally:
        await asyncio.to_thread(ready.__exit__, None, None, None)


async def _read(client: httpx.AsyncClient, number: int) -> None:
    """Streams one after the other, until the gateway is gone."""
    await asyncio.sleep(number * STAGGER_SECONDS)
    try:
        while True:
            async with client.stream("POST", CHAT, json=body("Hello.", stream=True)) as answer:
                async for _ in answer.aiter_bytes():
                    pass
    except httpx.TransportError:
        return  # killed, as it should be


def _checked(tally: Tally, upstream: ScriptedUpstream, state: Path) -> Tally:
    """After a kill: the chain verifies as it lies there, torn tail and all, and every request that went out is on it."""
    sound = all(chain.ok for chain in verify(state / "ledger", heads(state / "gateway.db")))
    rows = map(parse, export(state / "ledger"))
    intents = {row["request"] for row in rows if row["kind"] == "intent"}
    sent = {request.header("x-request-id") or "" for request in upstream.requests}
    return replace(
        tally,
        cycles=tally.cycles + 1,
        upstream=len(sent),
        missing=len(sent - intents),
        unverified=tally.unverified + (not sound),
    )


def _say(tally: Tally) -> None:
    print(
        f"{tally.cycles:4} killed: {tally.upstream} requests at the model server, {tally.missing} without an intent row, "
        f"{tally.unverified} times not verified",
        flush=True,
    )


def main() -> None:
    """The command."""
    number = int(sys.argv[1]) if len(sys.argv) > 1 else 200
    with folder() as base:
        tally = cycles(number, base / "state", _say)
    sys.exit(1 if tally.missing or tally.unverified else 0)


if __name__ == "__main__":
    main()
