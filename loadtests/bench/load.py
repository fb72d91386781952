"""One measurement with each of the two clients: wrk for unary requests, our own for streams."""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from loadtests.bench.tools import LUA, Tools
from loadtests.rig import CHAT, RigFailed, pinned


@dataclass(frozen=True, slots=True)
class Unary:
    """What wrk saw. Times in microseconds."""

    requests: int
    per_second: float
    p50: float
    p99: float


@dataclass(frozen=True, slots=True)
class Streams:
    """What the reader of streams saw. Times in microseconds; ``text`` is from the request to the first event with text."""

    streams: int
    events: int
    first: float
    text: float
    text_worst: float
    total: float
    gap_p50: float
    gap_p99: float


def unary(port: int, prompts: Path, *, connections: int, seconds: float, salt: int, core: int) -> Unary:
    """Closed loop over keep-alive connections. Raises RigFailed when any request failed: such a figure means nothing."""
    command = [
        *pinned(core),
        "wrk",
        "-t1",
        f"-c{connections}",
        f"-d{max(1, round(seconds))}s",
        "--timeout",
        "30s",
        "-s",
        str(LUA),
    ]
    found = _run([*command, f"http://127.0.0.1:{port}{CHAT}", "--", str(prompts), str(salt)], seconds + 60)
    if not found["requests"] or found["bad_status"] or found["failed"]:
        raise RigFailed(f"wrk: {found}")
    return Unary(found["requests"], found["requests"] / found["duration_us"] * 1e6, found["p50_us"], found["p99_us"])


def streams(tools: Tools, port: int, bodies: Path, *, count: int, stagger_us: int, seconds: int, core: int) -> Streams:
    """Many streams at once, each read to its end. Raises RigFailed when one broke off or was refused."""
    command = [*pinned(core), str(tools.sse), str(port), str(count), str(stagger_us), str(seconds), str(bodies)]
    found = _run(command, seconds + 30)
    each = found["streams"]
    broken = [one for one in each if one["status"] != 200 or not one["done"]]
    if len(each) != count or broken:
        raise RigFailed(f"{len(broken)} of {len(each)} streams did not end as they should, the first: {broken[:1]}")
    firsts, texts, totals = ([one[key] for one in each] for key in ("first_us", "text_us", "total_us"))
    events = sum(one["events"] for one in each)
    spread = found["gap_p50_us"], found["gap_p99_us"]
    return Streams(count, events, median(firsts), median(texts), max(texts), median(totals), *spread)


def _run(command: list[str], timeout: float) -> dict:
    done = subprocess.run(command, capture_output=True, text=True, timeout=timeout, check=False)
    last = done.stdout.strip().splitlines()[-1:] or [""]
    if done.returncode or not last[0].startswith("{"):
        raise RigFailed(f"{command}: exit {done.returncode}: {done.stdout[-500:]} {done.stderr[-500:]}")
    return json.loads(last[0])
