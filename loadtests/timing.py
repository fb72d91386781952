"""Added median latency at one connection, and CPU per chunk of a stream."""

from __future__ import annotations

import asyncio
import itertools
import time
from dataclasses import dataclass
from statistics import median

import httpx

from gateway.demo.answers import Said, openai_events
from gateway.demo.scripted import ScriptedUpstream, streamed
from loadtests.rig import CHAT, Running, body, folder, gateway, model_server

REQUESTS = 300
WARM_UP = 20
CHUNKS = 5_000
PACE_SECONDS = 0.001  # each chunk is a read of its own, as from a model server
WAYS = ((3, True), (3, False))  # level, with classifiers


@dataclass(frozen=True, slots=True)
class Latency:
    """One way to the model server. Times in milliseconds."""

    way: str
    p50: float
    p99: float


@dataclass(frozen=True, slots=True)
class Cost:
    """CPU of the gateway process for one stream, in microseconds a chunk."""

    way: str
    chunks: int
    per_chunk: float


def name(level: int, classifiers: bool) -> str:
    """What a way is called in the report."""
    return f"through the gateway, ASL-{level}, {'with' if classifiers else 'without'} classifiers"


def latencies() -> list[Latency]:
    """Sequential unary requests over one connection: direct, and through the gateway. Every prompt is new to the score cache."""
    numbers = itertools.count()
    with model_server() as url, folder() as base:
        found = [_latency("direct", url, numbers)]
        for level, classifiers in WAYS:
            with gateway(url, base / f"{level}-{classifiers}", asl=level, classifiers=classifiers) as running:
                found.append(_latency(name(level, classifiers), running.data, numbers))
    return found


def _latency(way: str, url: str, numbers: itertools.count[int]) -> Latency:
    with httpx.Client(base_url=url, trust_env=False, timeout=30) as client:
        times = sorted([_once(client, next(numbers)) for _ in range(WARM_UP + REQUESTS)][WARM_UP:])
    return Latency(way, median(times), times[int(len(times) * 0.99)])


def _once(client: httpx.Client, number: int) -> float:
    before = time.perf_counter()
    client.post(CHAT, json=body(f"What is the name of street number {number} in a small town?")).raise_for_status()
    return (time.perf_counter() - before) * 1000


def costs() -> list[Cost]:
    """CPU of the gateway over one long stream."""
    return [asyncio.run(_cost(level, classifiers)) for level, classifiers in WAYS]


async def _cost(level: int, classifiers: bool) -> Cost:
    said = Said(tuple(f"word{number} " for number in range(CHUNKS)))
    async with ScriptedUpstream() as upstream:
        upstream.script(streamed(openai_events(said), pace=PACE_SECONDS))
        with folder() as base:
            ready = gateway(upstream.url, base / "state", asl=level, classifiers=classifiers)
            running = await asyncio.to_thread(ready.__enter__)
            try:
                used = await _stream(running)
            finally:
                await asyncio.to_thread(ready.__exit__, None, None, None)
    return Cost(name(level, classifiers), CHUNKS, used / CHUNKS * 1e6)


async def _stream(running: Running) -> float:
    """CPU seconds of the gateway over one whole stream."""
    before, tail = running.cpu_seconds(), b""
    async with (
        httpx.AsyncClient(base_url=running.data, trust_env=False, timeout=60) as client,
        client.stream("POST", CHAT, json=body("Count the words.", stream=True)) as answer,
    ):
        async for data in answer.aiter_bytes():
            tail = (tail + data)[-64:]
    if not tail.endswith(b"data: [DONE]\n\n"):
        raise RuntimeError(f"the stream did not end as it should: {tail!r}")
    return running.cpu_seconds() - before
