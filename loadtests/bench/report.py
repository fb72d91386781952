"""The report: setting, bars, and one table for each measure."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import time
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from statistics import median

from loadtests.bench.bars import judged
from loadtests.bench.contestants import ALL, LITELLM_ENVIRONMENT, LITELLM_FLAGS
from loadtests.bench.results import Results, Spread
from loadtests.bench.tools import HERE, program
from loadtests.evidence import commit_line, table

SYNCS = 50
# measure: title, and for each column its figure, head, and what one unit of it is
TABLES: dict[str, tuple[str, tuple[tuple[str, str, float], ...]]] = {
    "many": (
        "Unary, 64 connections",
        (
            ("requests_per_s", "requests/s", 1),
            ("p50_us", "p50 ms", 1e3),
            ("p99_us", "p99 ms", 1e3),
            ("cpu_per_request_us", "CPU us a request", 1),
        ),
    ),
    "one": (
        "Unary, one connection",
        (("p50_us", "p50 us", 1), ("p99_us", "p99 us", 1), ("cpu_per_request_us", "CPU us a request", 1)),
    ),
    "chunks": (
        "Streams, chunks one by one",
        (
            ("cpu_per_chunk_us", "CPU us a chunk", 1),
            ("busy_share", "share of a core", 1),
            ("gap_p50_us", "gap p50 ms", 1e3),
            ("gap_p99_us", "gap p99 ms", 1e3),
        ),
    ),
    "burst": (
        "Streams, all chunks at once",
        (("cpu_per_chunk_us", "CPU us a chunk", 1), ("chunks_per_s", "chunks/s", 1)),
    ),
    "first": (
        "Streams at 50 tokens/s",
        (
            ("first_byte_us", "first byte ms", 1e3),
            ("first_text_us", "first text ms", 1e3),
            ("first_text_worst_us", "worst first text ms", 1e3),
        ),
    ),
    "memory": ("Idle memory", (("rss_mb", "RSS MB", 1), ("pss_mb", "PSS MB", 1))),
    "start": ("Start to first answer", (("answered_s", "seconds", 1),)),
}

# head, the other, measure, figure, whether it is a difference, and what one unit of it is
RATIOS = (
    ("requests/s to LiteLLM's", "litellm", "many", "requests_per_s", False, 1.0),
    ("requests/s to nginx's", "nginx", "many", "requests_per_s", False, 1.0),
    ("added p50 ms, one connection", "direct", "one", "p50_us", True, 1e3),
    ("CPU a chunk to LiteLLM's", "litellm", "chunks", "cpu_per_chunk_us", False, 1.0),
    ("CPU a chunk to nginx's", "nginx", "chunks", "cpu_per_chunk_us", False, 1.0),
    ("added first text ms", "direct", "first", "first_text_us", True, 1e3),
)


def setting(litellm: Path, state: Path) -> dict[str, str]:
    """What a figure depends on."""
    model = next(
        (
            line.split(":")[1].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if line.startswith("model name")
        ),
        "?",
    )
    return {
        "commit": commit_line(),
        "time": datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S UTC"),
        "machine": f"{platform.system()} {platform.release()}, {os.cpu_count()} cores, {model}",
        "load before": f"{os.getloadavg()[0]:.1f}, nice {os.nice(0)}",
        "ledger on": f"{_says(['stat', '-f', '-c', '%T', str(state)])}, fdatasync of a row {sync_ms(state):.2f} ms",
        "Python": platform.python_version(),
        "nginx": _says([program("nginx") or "nginx", "-v"]),
        "wrk": _says(["wrk", "-v"]),
        "gcc": _says(["gcc", "--version"]),
        "LiteLLM": _says(
            [str(litellm / "bin" / "python"), "-c", "from importlib.metadata import version as v; print(v('litellm'))"]
        ),
        "LiteLLM's flags": " ".join(
            [*(f"{key}={value}" for key, value in LITELLM_ENVIRONMENT.items()), "litellm", *LITELLM_FLAGS]
        ),
    }


def sync_ms(folder: Path) -> float:
    """How long the disk takes to make one ledger row durable: the part of a request that waits for it, and is not ours."""
    times = []
    with (folder / "synced").open("wb", buffering=0) as file:
        for _ in range(SYNCS):
            file.write(bytes(600))
            begun = time.perf_counter()
            os.fdatasync(file.fileno())
            times.append((time.perf_counter() - begun) * 1000)
    return median(times)


def _says(command: Sequence[str]) -> str:
    try:
        done = subprocess.run(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=60, check=False
        )
    except OSError:
        return "absent"
    return (done.stdout.splitlines() or ["absent"])[0].split("[")[0].strip()


def shown(value: Spread, unit: float = 1) -> str:
    """Median (least to most)."""
    middle, least, most = (_number(one / unit) for one in (value.median, value.least, value.most))
    return f"{middle} ({least} to {most})" if value.rounds_differ else middle


def _number(value: float) -> str:
    size = abs(value)
    if size >= 100 or not size:
        return f"{value:,.0f}"
    return f"{value:.1f}" if size >= 10 else f"{value:.2f}" if size >= 0.1 else f"{value:.2g}"


def markdown(results: Results) -> str:
    """The whole report."""
    parts = ["# Bench", "\n".join(f"- {key}: {value}" for key, value in results.setting.items())]
    rows = [
        (bar.what, bar.bar, "not measured" if bar.value is None else shown(bar.value), bar.result)
        for bar in judged(results)
    ]
    parts += ["## Bars", table(("what", "bar", "measured: median (least to most)", "result"), rows)]
    parts += ["## Ratios, round by round", table(("who", *(head for head, *_ in RATIOS)), _ratios(results))]
    for name, (title, columns) in TABLES.items():
        rows = [
            _row(results, who.id, who.title, name, columns) for who in ALL if name in results.figures.get(who.id, {})
        ]
        rows = [row for row in rows if any(cell != "–" for cell in row[1:])]
        if rows:
            parts += [f"## {title}", table(("who", *(head for _, head, _ in columns)), rows)]
    if results.faults:
        parts += ["## What failed", "\n".join(f"- {fault}" for fault in results.faults)]
    return "\n\n".join(parts) + "\n"


def _ratios(results: Results) -> list[tuple[str, ...]]:
    rows = []
    for who in ALL:
        found = [
            (None if who.id == other else results.against(who.id, other, measure, figure, minus=minus), unit)
            for _, other, measure, figure, minus, unit in RATIOS
        ]
        if who.id != "direct" and any(spread for spread, _ in found):
            rows.append((who.title, *(_cell(spread, unit) for spread, unit in found)))
    return rows


def _cell(spread: Spread | None, unit: float) -> str:
    return "–" if spread is None else shown(spread, unit)


def _row(
    results: Results, who: str, title: str, name: str, columns: tuple[tuple[str, str, float], ...]
) -> tuple[str, ...]:
    spreads = [(results.spread(who, name, figure), unit) for figure, _, unit in columns]
    return (title, *(_cell(spread, unit) for spread, unit in spreads))


def write(results: Results, out: Path) -> None:
    """Markdown and JSON beside each other."""
    out.parent.mkdir(parents=True, exist_ok=True)
    out.with_suffix(".md").write_text(markdown(results))
    found = {
        **asdict(results),
        "titles": {who.id: who.title for who in ALL},
        "bars": [asdict(bar) for bar in judged(results)],
    }
    out.with_suffix(".json").write_text(json.dumps(found, indent=1) + "\n")


def plot(out: Path, python: Path) -> bool:
    """Draw the written report with a Python that has matplotlib; False where there is none."""
    if not python.exists():
        return False
    command = [str(python), str(HERE / "plot.py"), str(out.with_suffix(".json")), str(out.with_suffix(".png"))]
    return subprocess.run(command, timeout=120, check=False).returncode == 0
