"""``python -m loadtests.screeners``: the classifier in threads against one and two processes, each in a fresh process of its own.

Prints a Markdown table: windows a second with 16 callers, the time of one 64-token score alone, how late the event loop is
meanwhile, what the loop's process costs in CPU, and the memory of every process. Texts are new each time: no score is cached.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import median, quantiles

import uvloop

from classifiers.base import Classifier
from classifiers.catalogue import create

WAYS = {"2 threads": 0, "1 screener": 1, "2 screeners": 2}
CALLERS = 16
ALONE = 300
LAG_STEP = 0.002
STORY = (
    "the baker opens his shop at six every morning and sells bread to people who walk along the river before work while "
    "children wait for a train that is always late because of snow rain or a dog on the line near an old mill"
)


@dataclass(frozen=True, slots=True)
class Figures:
    """One way. Times in milliseconds, memory in MiB as resident and proportional (shared pages divided) set."""

    start_s: float
    tokens: float
    windows_s: float
    p50: float
    p99: float
    lag_p50: float
    lag_p99: float
    lag_max: float
    loop_cpu: float
    window_cpu: float
    memory: tuple[tuple[str, float, float], ...]


def text(number: int) -> str:
    """About 64 tokens that no other number has."""
    chance = random.Random(number)
    return " ".join(chance.choices(STORY.split(), k=62)) + f" {number}"


def percentile(values: list[float], percent: int) -> float:
    """Of at least two values."""
    return quantiles(values, n=100, method="inclusive")[percent - 1]


async def measure(screeners: int, seconds: float) -> Figures:
    """Start a classifier, ask it alone and together, and look at the processes before it ends."""
    classifier, numbers, began = create("cbrn-minilm", screeners), itertools.count(), time.perf_counter()
    await classifier.start()
    start = time.perf_counter() - began
    alone, tokens = await _alone(classifier, numbers)
    late: list[float] = []
    watch = asyncio.create_task(_lag(late))
    cpu, theirs, began = time.process_time(), _children_cpu(), time.perf_counter()
    windows = sum(await asyncio.gather(*(_ask(classifier, numbers, began + seconds) for _ in range(CALLERS))))
    took, used = time.perf_counter() - began, time.process_time() - cpu
    all_used = used + _children_cpu() - theirs
    watch.cancel()
    memory = _memory()
    await classifier.close()
    return Figures(
        start,
        median(tokens),
        windows / took,
        median(alone),
        percentile(alone, 99),
        median(late),
        percentile(late, 99),
        max(late),
        used / took,
        all_used / windows * 1000,
        memory,
    )


async def _alone(classifier: Classifier, numbers: Iterator[int]) -> tuple[list[float], list[int]]:
    times, tokens = [], []
    for _ in range(ALONE):
        began = time.perf_counter()
        (scored,) = await classifier.score([text(next(numbers))], budget=100, seconds=30)
        times.append((time.perf_counter() - began) * 1000)
        tokens.append(scored.tokens)
    return times, tokens


async def _ask(classifier: Classifier, numbers: Iterator[int], until: float) -> int:
    windows = 0
    while time.perf_counter() < until:
        (scored,) = await classifier.score([text(next(numbers))], budget=100, seconds=60)
        windows += len(scored.windows)
    return windows


async def _lag(late: list[float]) -> None:
    """How much later than asked the loop comes back, in milliseconds."""
    while True:
        began = time.perf_counter()
        await asyncio.sleep(LAG_STEP)
        late.append((time.perf_counter() - began - LAG_STEP) * 1000)


def _memory() -> tuple[tuple[str, float, float], ...]:
    """This process and its children: name, RSS and PSS in MiB."""
    return (_sizes("self", "loop"), *(_sizes(pid, "screener") for pid in _children()))


def _children() -> list[str]:
    return [pid for path in Path("/proc/self/task").glob("*/children") for pid in path.read_text().split()]


def _children_cpu() -> float:
    """Seconds so far, in steps of 10 ms."""
    fields = [Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split() for pid in _children()]
    return sum(int(one[11]) + int(one[12]) for one in fields) / os.sysconf("SC_CLK_TCK")


def _sizes(pid: str, name: str) -> tuple[str, float, float]:
    lines = dict(
        line.split(":", 1) for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:] if ":" in line
    )
    return name, int(lines["Rss"].split()[0]) / 1024, int(lines["Pss"].split()[0]) / 1024


def table(found: dict[str, Figures]) -> str:
    """Markdown."""
    rows = [
        (
            "| | windows/s, 16 callers | one score: p50, p99 | loop late: p50, p99, max "
            "| CPU of the loop's process | CPU a window | RSS (PSS) |"
        ),
        "|---|---|---|---|---|---|---|",
    ]
    for way, one in found.items():
        memory = ", ".join(f"{name} {rss:.0f} ({pss:.0f})" for name, rss, pss in one.memory)
        rows.append(
            f"| {way} | {one.windows_s:.0f} | {one.p50:.1f}, {one.p99:.1f} ms "
            f"| {one.lag_p50:.2f}, {one.lag_p99:.2f}, {one.lag_max:.1f} ms | {one.loop_cpu:.0%} | {one.window_cpu:.2f} ms | {memory} MiB |"
        )
    tokens = {round(one.tokens) for one in found.values()}
    starts = ", ".join(f"{way} {one.start_s:.1f} s" for way, one in found.items())
    return "\n".join(rows) + f"\n\nTokens a text (median): {', '.join(map(str, tokens))}. Start: {starts}.\n"


def main() -> None:
    """One way as JSON with ``--way``, else all of them, one after the other."""
    parser = argparse.ArgumentParser(prog="python -m loadtests.screeners", description=__doc__)
    parser.add_argument("--seconds", type=float, default=10.0, help="of each throughput measurement")
    parser.add_argument(
        "--rounds", type=int, default=3, help="of all ways in turn; the median of each figure is printed"
    )
    parser.add_argument("--way", choices=WAYS)
    options = parser.parse_args()
    if options.way:
        print(json.dumps(asdict(uvloop.run(measure(WAYS[options.way], options.seconds)))))
        return
    rounds: dict[str, list[Figures]] = {way: [] for way in WAYS}
    for _ in range(options.rounds):
        for way, done in rounds.items():
            done.append(_apart(way, options.seconds))
    print(table({way: middle(done) for way, done in rounds.items()}), end="")


def _apart(way: str, seconds: float) -> Figures:
    """One way in a process of its own."""
    command = [sys.executable, "-m", "loadtests.screeners", "--way", way, "--seconds", str(seconds)]
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=120 + 4 * seconds)
    return Figures(**json.loads(done.stdout))


def middle(rounds: list[Figures]) -> Figures:
    """The median of each figure; the memory is that of the last round."""
    numbers = [name for name in rounds[0].__slots__ if name != "memory"]
    return replace(rounds[-1], **{name: median(getattr(one, name) for one in rounds) for name in numbers})


if __name__ == "__main__":
    main()
