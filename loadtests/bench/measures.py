"""What is measured of a contestant, one value a round. Figures in the unit that their name ends in."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from loadtests.bench import load, meters
from loadtests.bench.contestants import Contestant, Place, Proxy
from loadtests.bench.matter import Matter, stream_bodies
from loadtests.bench.tools import Tools

STREAMS = 20
Figures = dict[str, float]


@dataclass(frozen=True, slots=True)
class Shape:
    """How much of each is done in a round."""

    seconds: float  # of wrk
    warm_up: float  # before the first round
    chunks: int  # a stream
    pace_us: int  # between chunks of one stream
    slow_chunks: int
    slow_pace_us: int
    speaking: int  # tokens of an answer at 50 a second


FULL = Shape(3, 1, 500, 10_000, 100, 50_000, 64)
QUICK = Shape(1, 0, 20, 2_000, 10, 5_000, 24)


@dataclass(frozen=True, slots=True)
class Bench:
    """All that a measurement needs beside the contestant."""

    tools: Tools
    matter: Matter
    place: Place
    folder: Path
    shape: Shape
    core: int  # of the clients


Measure = Callable[[Bench, Contestant, Proxy, int], Figures]


def _spent(proxy: Proxy) -> float:
    return meters.cpu_seconds(proxy.pid) if proxy.pid else 0.0


def _unary(connections: int) -> Measure:
    def measure(bench: Bench, _: Contestant, proxy: Proxy, salt: int) -> Figures:
        prompts, core = bench.matter.prompts, bench.core
        if bench.shape.warm_up:
            load.unary(
                proxy.port, prompts, connections=connections, seconds=bench.shape.warm_up, salt=salt + 500, core=core
            )
        before = _spent(proxy)
        seen = load.unary(
            proxy.port, prompts, connections=connections, seconds=bench.shape.seconds, salt=salt, core=core
        )
        return {
            "requests_per_s": seen.per_second,
            "p50_us": seen.p50,
            "p99_us": seen.p99,
            "cpu_per_request_us": (_spent(proxy) - before) / seen.requests * 1e6,
        }

    return measure


def _chunks(*, paced: bool) -> Measure:
    def measure(bench: Bench, who: Contestant, proxy: Proxy, salt: int) -> Figures:
        shape = bench.shape
        chunks, pace = (shape.slow_chunks, shape.slow_pace_us) if who.slow else (shape.chunks, shape.pace_us)
        bodies = stream_bodies(
            bench.matter,
            bench.folder / "bodies",
            streams=STREAMS,
            chunks=chunks,
            gap_us=pace if paced else 0,
            salt=salt,
        )
        before, begun = _spent(proxy), time.monotonic()
        seen = load.streams(
            bench.tools, proxy.port, bodies, count=STREAMS, stagger_us=pace // STREAMS, seconds=120, core=bench.core
        )
        spent, lasted = _spent(proxy) - before, time.monotonic() - begun
        return {
            "cpu_per_chunk_us": spent / (STREAMS * chunks) * 1e6,
            "busy_share": spent / lasted,
            "events_share": seen.events / (STREAMS * chunks),
            "gap_p50_us": seen.gap_p50,
            "gap_p99_us": seen.gap_p99,
            "chunks_per_s": STREAMS * chunks / lasted,
        }

    return measure


def _first(bench: Bench, _: Contestant, proxy: Proxy, salt: int) -> Figures:
    bodies = stream_bodies(
        bench.matter, bench.folder / "bodies", streams=10, chunks=bench.shape.speaking, gap_us=20_000, salt=salt
    )
    seen = load.streams(bench.tools, proxy.port, bodies, count=10, stagger_us=37_000, seconds=60, core=bench.core)
    return {
        "first_byte_us": seen.first,
        "first_text_us": seen.text,
        "first_text_worst_us": seen.text_worst,
        "total_us": seen.total,
    }


def _memory(_: Bench, who: Contestant, proxy: Proxy, salt: int) -> Figures:  # one signature for all measures
    if not proxy.pid:
        return {}
    rss, pss = meters.memory(proxy.pid)
    return {"rss_mb": rss / 1e6, "pss_mb": pss / 1e6}


def _start(bench: Bench, who: Contestant, proxy: Proxy, salt: int) -> Figures:
    if not proxy.pid:
        return {}
    with who.start(bench.place) as another:
        return {"answered_s": another.answered}


# In the order in which they are made: memory before anything was asked for.
MEASURES: dict[str, Measure] = {
    "memory": _memory,
    "first": _first,
    "burst": _chunks(paced=False),
    "one": _unary(1),
    "many": _unary(64),
    "chunks": _chunks(paced=True),
    "start": _start,
}
