"""A flood of malformed requests, and what its neighbours notice: ``python -m loadtests.flood [--seconds N] [--rate N]``.

One polite client and the admin plane are measured without a flood and in it. The bars: memory within 64 MiB above idle, the
neighbour's p99 within twice of what it was, the ledger under 10 MB in ten minutes, and an admin plane that answers.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import quantiles

import httpx

from loadtests.evidence import table
from loadtests.rig import CHAT, ROOT, Running, body, folder, gateway, model_server

MIB = 1 << 20
QUIET_SECONDS = 10.0
PAUSE_SECONDS = 0.01
LEDGER_BAR = 10_000_000  # bytes in ten minutes
TEN_MINUTES = 600


@dataclass(frozen=True, slots=True)
class Neighbour:
    """What a polite client and a probe of the admin plane saw. Times in milliseconds."""

    requests: int
    failed: int
    p50: float
    p99: float
    admin_p99: float
    admin_failed: int


@dataclass(frozen=True, slots=True)
class Flooded:
    """One run."""

    quiet: Neighbour
    loud: Neighbour
    seconds: float
    offered: int
    answered: int
    connections: int
    memory: int  # bytes above idle
    ledger: int  # bytes that the ledger grew by


def run(seconds: float, rate: float) -> Flooded:
    """A gateway with rules only, a scripted model server, a neighbour, and the flood."""
    with model_server() as upstream, folder() as base, gateway(upstream, base / "state", classifiers=False) as running:
        quiet = _neighbour(running, QUIET_SECONDS)
        idle, before = _memory(running, "VmRSS"), _ledger(running.state)
        Path(f"/proc/{running.process.pid}/clear_refs").write_text("5")
        given = [sys.executable, "-m", "loadtests.flooding", running.data, str(seconds), str(rate)]
        with subprocess.Popen(given, cwd=ROOT, stdout=subprocess.PIPE) as process:
            loud = _neighbour(running, seconds)
            out, _ = process.communicate(timeout=seconds + 60)
        found = json.loads(out)
        return Flooded(
            quiet,
            loud,
            found["seconds"],
            found["offered"],
            found["answered"],
            found["connections"],
            _memory(running, "VmHWM") - idle,
            _ledger(running.state) - before,
        )


def _neighbour(running: Running, seconds: float) -> Neighbour:
    """One request and one probe after the other, each with a prompt of its own."""
    chats, probes, failed, admin_failed = [], [], 0, 0
    end, number = time.monotonic() + seconds, 0
    with httpx.Client(trust_env=False, timeout=30) as client:
        while time.monotonic() < end:
            number += 1
            took, fine = _timed(lambda n=number: client.post(running.data + CHAT, json=body(f"Question {n}?")))
            chats.append(took)
            failed += not fine
            took, fine = _timed(lambda: client.get(running.admin + "/livez"))
            probes.append(took)
            admin_failed += not fine
            time.sleep(PAUSE_SECONDS)
    cuts = quantiles(chats, n=100)
    return Neighbour(number, failed, cuts[49], cuts[98], quantiles(probes, n=100)[98], admin_failed)


def _timed(ask: object) -> tuple[float, bool]:
    before = time.perf_counter()
    try:
        fine = ask().status_code == 200  # type: ignore[operator]
    except httpx.HTTPError:
        fine = False
    return (time.perf_counter() - before) * 1000, fine


def _memory(running: Running, name: str) -> int:
    lines = Path(f"/proc/{running.process.pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(name + ":"))


def _ledger(state: Path) -> int:
    return sum(file.stat().st_size for file in (state / "ledger").rglob("*") if file.is_file())


def report(flooded: Flooded) -> str:
    """The tables, each bar with whether it held."""
    quiet, loud = flooded.quiet, flooded.loud
    own = loud.requests * 1600  # an intent and an outcome row for each request of the neighbour
    growth = max(0, flooded.ledger - own) * TEN_MINUTES / flooded.seconds
    rows = [
        (
            "without the flood",
            quiet.requests,
            quiet.failed,
            f"{quiet.p50:.1f}",
            f"{quiet.p99:.1f}",
            f"{quiet.admin_p99:.1f}",
        ),
        ("in the flood", loud.requests, loud.failed, f"{loud.p50:.1f}", f"{loud.p99:.1f}", f"{loud.admin_p99:.1f}"),
    ]
    bars = [
        ("memory above idle", f"{flooded.memory / MIB:.1f} MiB", "64 MiB", flooded.memory < 64 * MIB),
        ("neighbour's p99", f"{loud.p99 / quiet.p99:.1f} times", "2 times", loud.p99 <= 2 * quiet.p99),
        ("ledger, in ten minutes", f"{growth / 1e6:.1f} MB", "10 MB", growth < LEDGER_BAR),
        (
            "admin plane and neighbour answered",
            loud.admin_failed + loud.failed,
            "all",
            loud.admin_failed + loud.failed == 0,
        ),
    ]
    lead = (
        f"{flooded.offered / flooded.seconds:,.0f} malformed requests/s offered, {flooded.answered / flooded.seconds:,.0f}/s answered, "
        f"over {flooded.connections / flooded.seconds:,.0f} connections/s, for {flooded.seconds:.0f} s. "
        "The neighbour sends one request after the other; milliseconds."
    )
    heads = ("neighbour", "requests", "failed", "p50", "p99", "admin p99")
    held = [(name, value, bar, "held" if fine else "MISSED") for name, value, bar, fine in bars]
    return f"## A flood of malformed requests\n\n{lead}\n\n{table(heads, rows)}\n\n{table(('bar', 'measured', 'allowed', ''), held)}"


def main() -> int:
    """Run it and print the report."""
    parser = argparse.ArgumentParser(prog="python -m loadtests.flood", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--rate", type=float, default=20_000)
    given = parser.parse_args()
    print(report(run(given.seconds, given.rate)))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
