"""Writes ``evidence/report.md``: what was run and measured, with commit and time. ``python -m loadtests.evidence [--quick]``."""

from __future__ import annotations

import argparse
import os
import platform
import subprocess
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path

from loadtests import killing, properties, timing
from loadtests.rig import ROOT, folder

REPORT = ROOT / "evidence" / "report.md"
STEP_SECONDS = 3600
DEMO = "ARGS=--exit --listen 127.0.0.1:0 --admin-listen 127.0.0.1:0"


def main() -> int:
    """Measure, write, and say where."""
    parser = argparse.ArgumentParser(prog="python -m loadtests.evidence", description=__doc__)
    parser.add_argument(
        "--quick", action="store_true", help="leave out the fresh clone with its make run and make test"
    )
    quick: bool = parser.parse_args().quick
    sections = [_header()]
    steps = [("kill -9 during streams", _kills), ("latency", _latencies), ("CPU per chunk", _costs)]
    steps += [("property tests", _properties)] + ([] if quick else [("a fresh clone", _clone)])
    for title, step in steps:
        print(f"== {title}", flush=True)
        sections.append(step())
        _write(sections)
    print(f"written: {REPORT.relative_to(ROOT)}")
    return 0


def _write(sections: Sequence[str]) -> None:
    REPORT.parent.mkdir(exist_ok=True)
    REPORT.write_text("\n\n".join(sections) + "\n")


def _header() -> str:
    machine = f"{platform.system()} {platform.machine()}, {os.cpu_count()} CPUs, Python {platform.python_version()}"
    now = datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    return f"# Evidence\n\nCommit {commit_line()}, {now}, {machine}."


def commit_line() -> str:
    """The commit that is measured, and whether the files are its own."""
    changed = "with uncommitted changes" if _git("status", "--porcelain", "--untracked-files=no") else "clean"
    return f"{_git('rev-parse', 'HEAD')} ({changed})"


def _git(*arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()


def table(heads: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A table in Markdown."""
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in lines)


def _kills() -> str:
    heads = (
        "killed when the model server had seen",
        "requests at the model server",
        "intent rows",
        "missing",
        "verify",
    )
    rows = [(k.killed_at, k.upstream, k.intents, k.missing, f"exit {k.verify_exit}") for k in killing.cycles()]
    return f"## kill -9 during {killing.STREAMS} streams\n\nAfter a restart on the same state.\n\n{table(heads, rows)}"


def _latencies() -> str:
    found = timing.latencies()
    direct = found[0].p50
    rows = [(one.way, f"{one.p50:.2f}", f"{one.p99:.2f}", f"{one.p50 - direct:+.2f}") for one in found]
    lead = f"{timing.REQUESTS} unary requests one after the other, each with a prompt not seen before; milliseconds."
    return f"## Latency at one connection\n\n{lead}\n\n{table(('way', 'p50', 'p99', 'added p50'), rows)}"


def _costs() -> str:
    rows = [(one.way, one.chunks, f"{one.per_chunk:.0f}") for one in timing.costs()]
    lead = "User and system time of the gateway process over one stream, one upstream chunk at a time; microseconds."
    return f"## CPU per SSE chunk\n\n{lead}\n\n{table(('way', 'chunks', 'CPU per chunk'), rows)}"


def _properties() -> str:
    code, found = properties.run()
    rows = [(one.file, one.properties, one.passing, one.failing) for one in found]
    total = f"{sum(one.properties for one in found)} properties, {sum(one.passing for one in found)} passing cases"
    lead = f"{total}; pytest's exit code {code}."
    return f"## Property tests\n\n{lead}\n\n{table(('file', 'properties', 'passing', 'failing'), rows)}"


def _clone() -> str:
    with folder() as base:
        clone = base / "clone"
        _git("clone", "--quiet", str(ROOT), str(clone))
        texts = [_transcript(clone, "make", "run", DEMO), _transcript(clone, "make", "test")]
    return "## A fresh clone\n\n" + "\n\n".join(texts)


def _transcript(clone: Path, *given: str) -> str:
    done = subprocess.run(
        given,
        cwd=clone,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=STEP_SECONDS,
        check=False,
    )
    said = done.stdout.replace(str(clone), ".").strip()
    shown = " ".join(f"'{part}'" if " " in part else part for part in given)
    return f"```\n$ {shown}\n{said}\n(exit {done.returncode})\n```"


if __name__ == "__main__":
    raise SystemExit(main())
