"""A ledger of months: how long a million rows take to verify, in how much memory, and how soon a gateway with them listens.

``python -m loadtests.months [--rows N]``. Rows are as an ASL-3 gateway writes them (two an exchange), in segments of 64 MiB.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import secrets
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from gateway.ledger.files import SEGMENT_BYTES
from gateway.ledger.rows import ZERO, seal
from gateway.ledger.sealing import seal_segments
from gateway.ledger.segments import segment
from gateway.state.base import Head
from gateway.state.sqlite import SqliteStore
from loadtests.rig import ROOT, folder

INPUT = "halt:allow,rules:allow,harm_screen:allow(shadow),input_screen:allow"
BEGAN_MS = 1_767_225_600_000
EVERY_MS = 2592  # a million rows in half a month


@dataclass(frozen=True, slots=True)
class Run:
    """One process: wall and CPU seconds, and the most memory it held, in MiB."""

    what: str
    wall: float
    cpu: float
    peak: float


def write(state: Path, rows: int) -> str:
    """A state directory with a chain of this length; the decision id of the exchange in its middle."""
    directory = state / "ledger" / "r1"
    directory.mkdir(parents=True)
    previous, path, size, middle = ZERO, segment(directory, 0), 0, ""
    file = path.open("wb")
    for sequence, row in enumerate(_rows(rows)):
        if size >= SEGMENT_BYTES:
            file.close()
            file, size = segment(directory, sequence).open("wb"), 0
        line, previous = seal({**row, "seq": sequence}, previous)
        size += file.write(line)
        if sequence == rows // 2:
            middle = str(row["decision"])
    file.close()
    store = SqliteStore(state / "gateway.db")
    store.set_head(Head("r1", rows - 1, previous))
    store.close()
    return middle


def _rows(count: int) -> Iterator[dict[str, str | int]]:
    for number in range(0, count, 2):
        now = BEGAN_MS + number * EVERY_MS // 2
        ident = f"{now:011x}{secrets.token_hex(8)}"
        shared: dict[str, str | int] = {
            "asl": "asl-3",
            "boot": "0f3a97c1",
            "caller": "anonymous",
            "decision": f"d-{ident}",
            "dialect": "openai.chat",
            "input_digest": "hmac-sha256:" + secrets.token_hex(32),
            "model": "demo-model",
            "policy": "sha256:" + "ab" * 32,
            "replica": "r1",
            "request": f"r-{ident}",
            "stream": number // 2 % 2,
            "v": 1,
        }
        yield {**shared, "controls": INPUT, "kind": "intent", "time_ms": now}
        ending: dict[str, str | int] = dict.fromkeys(("category", "cause", "control", "direction"), "none")
        ending |= dict.fromkeys(("detail", "failures", "substitutes"), "")
        ending |= {
            "released": 1730 + number % 999,
            "scanned": 1730 + number % 999,
            "upstream_bytes": 20_114 + number % 7777,
        }
        ending |= {"duration_ms": 840 + number % 300, "finish": "stop", "outcome": "served", "reason": "cleared"}
        yield {**shared, **ending, "controls": "rules:allow", "kind": "outcome", "status": 200, "time_ms": now + 840}


def measured(what: str, *arguments: str) -> tuple[Run, str]:
    """Run ``asl-gateway`` and take its measure. Raises CalledProcessError."""
    began = time.monotonic()
    with subprocess.Popen([sys.executable, "-m", "gateway", *arguments], cwd=ROOT, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        said = process.stdout.read().decode()
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, arguments, said)
    return Run(what, time.monotonic() - began, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024), said


def started(state: Path) -> Run:
    """From the start of the process to its listening line, with its CPU and memory until then."""
    flags = [
        "--upstream",
        "http://127.0.0.1:9",
        "--model",
        "m",
        "--asl",
        "3",
        "--no-classifiers",
        "--state",
        str(state),
    ]
    ports = ["--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"]
    began = time.monotonic()
    with subprocess.Popen(
        [sys.executable, "-m", "gateway", "serve", *flags, *ports],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    ) as process:
        assert process.stdout is not None
        json.loads(process.stdout.readline())
        wall = time.monotonic() - began
        process.terminate()
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    return Run("start to listening", wall, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024)


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(prog="python -m loadtests.months", description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    rows: int = parser.parse_args().rows
    with folder() as base:
        state = base / "state"
        middle = write(state, rows)
        directory = state / "ledger" / "r1"
        plain = sum(path.stat().st_size for path in directory.iterdir())
        runs = [started(base / "empty"), started(state)]
        for form in ("plain", "compressed"):
            runs.append(measured(f"verify, {form}", "ledger", "verify", "--state", str(state), "--json")[0])
            runs.append(measured(f"show, {form}", "ledger", "show", middle, "--state", str(state))[0])
            if form == "plain":
                before = resource.getrusage(resource.RUSAGE_SELF).ru_utime
                seal_segments(directory)
                compressing = resource.getrusage(resource.RUSAGE_SELF).ru_utime - before
        packed = sum(path.stat().st_size for path in directory.iterdir())
        runs.append(started(state))
    print(
        f"{rows:,} rows, {plain / 2**20:,.0f} MiB, {packed / 2**20:,.0f} MiB compressed in {compressing:.1f} s of CPU\n"
    )
    print("| what | wall s | CPU s | peak MiB |\n|---|---|---|---|")
    for run in runs:
        print(f"| {run.what} | {run.wall:.2f} | {run.cpu:.2f} | {run.peak:.0f} |")


if __name__ == "__main__":
    main()
