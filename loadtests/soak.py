"""``python -m loadtests.soak --minutes 30``: locust's users against a gateway for a long time; then memory, ledger and error counts.

Writes ``evidence/soak.md`` and ``.json``. Exit code 0 when everything held, 1 when something did not.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any

from rich.console import Console

from loadtests.bench import matter, meters
from loadtests.bench.tools import compiled, missing, upstream
from loadtests.evidence import commit_line, table
from loadtests.rig import ROOT, RigFailed, command, gateway, pinned

LOCUST = ROOT / ".cache" / "bench" / "bin" / "python"
FILE = ROOT / "loadtests" / "locustfile.py"
GROWTH_MB = (
    32.0  # a ledger index, histograms and the allocator settle; a leak of 1 KiB a request passes this within the hour
)
STOP_SECONDS = 20
# Outcomes that no fault-free run may have; abandoned ones are users that were stopped.
FAULTS = (
    "failed",
    "unevaluated",
    "unrecorded",
    "overloaded",
    "upstream_failed",
    "refused",
    "halted",
    "limited",
    "blocked_output",
)


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that must hold at the end."""

    what: str
    seen: str
    ok: bool


@dataclass(frozen=True, slots=True)
class Seen:
    """What a soak gave."""

    samples: list[tuple[float, float]]  # seconds, resident MB
    stats: list[dict[str, Any]]  # locust's, one an entry
    locust_exit: int
    locust_said: str  # the end of its log, when it did not end well
    outcomes: dict[str, int]
    verify_exit: int


def growth(samples: list[tuple[float, float]]) -> float:
    """MB by which the last fifth of a run lies above its second fifth: the first one warms up."""
    fifth = max(1, len(samples) // 5)
    sizes = [size for _, size in samples]
    return median(sizes[-fifth:]) - median(sizes[fifth : 2 * fifth] or sizes)


def checks(seen: Seen) -> list[Check]:
    """All of them."""
    grown = growth(seen.samples)
    failures = sum(entry["num_failures"] for entry in seen.stats)
    asked = sum(entry["num_requests"] for entry in seen.stats if entry["method"] == "POST")
    whole = sum(entry["num_requests"] for entry in seen.stats if (entry["method"], entry["name"]) == ("SSE", "whole"))
    blocks = sum(entry["num_requests"] for entry in seen.stats if entry["method"] == "GATE")
    faults = {name: seen.outcomes[name] for name in FAULTS if seen.outcomes.get(name)}
    recorded = sum(seen.outcomes.values())
    return [
        Check(f"memory grew by at most {GROWTH_MB:g} MB after the first fifth", f"{grown:.1f} MB", grown <= GROWTH_MB),
        Check(
            "no failure as users see it",
            f"{failures} failures, locust's exit code {seen.locust_exit}",
            not failures and not seen.locust_exit,
        ),
        Check(
            "requests were made, streams read to their end, and some blocked",
            f"{asked} requests, {whole} streams, {blocks} blocks",
            min(asked, whole, blocks) > 0,
        ),
        Check("every request has its outcome row", f"{recorded} rows", recorded >= asked),
        Check(
            "every block is in the ledger",
            f"{seen.outcomes.get('blocked_input', 0)} rows",
            seen.outcomes.get("blocked_input", 0) >= blocks,
        ),
        Check("no outcome that is a fault", str(faults or "none"), not faults),
        Check("the ledger verifies", f"exit code {seen.verify_exit}", seen.verify_exit == 0),
    ]


def soak(given: argparse.Namespace, console: Console) -> Seen:
    """Run it. Raises RigFailed when a part does not start."""
    with tempfile.TemporaryDirectory(prefix="asl-soak-") as name:
        folder = Path(name)
        tokens, tools = matter.write(folder), compiled(folder)
        state = folder / "state"
        with (
            upstream(tools, tokens.tokens, given.client_core) as port,
            gateway(
                f"http://127.0.0.1:{port}",
                state,
                classifiers=not given.no_classifiers,
                rules=tokens.rules,
                core=given.proxy_core,
            ) as running,
        ):
            users = _locust(given, running.data, folder)
            try:
                samples = _watch(users, running.process.pid, console)
            finally:
                users.kill()
            code = users.wait()
        verified, _ = command("ledger", "verify", "--state", str(state))
        _, out = command("ledger", "export", "--state", str(state))
        rows = (json.loads(line) for line in out.splitlines())
        outcomes = Counter(row["outcome"] for row in rows if row["kind"] == "outcome")
        said = (folder / "locust.log").read_text()[-2000:] if code else ""
        return Seen(samples, _stats(folder), code, said, dict(outcomes), verified)


def _locust(given: argparse.Namespace, url: str, folder: Path) -> subprocess.Popen[bytes]:
    given_time = f"{round(given.minutes * 60)}s"
    arguments = [
        "-f",
        str(FILE),
        "--headless",
        "--host",
        url,
        "-u",
        str(given.users),
        "-r",
        str(given.rate),
        "-t",
        given_time,
    ]
    arguments += ["--stop-timeout", str(STOP_SECONDS), "--only-summary", "--json-file", str(folder / "locust")]
    environment = {**os.environ, "LOCUST_BLOCKED_EVERY": str(given.blocked_every)}
    started = [*pinned(given.client_core), str(given.python), "-m", "locust", *arguments]
    with (folder / "locust.log").open("wb") as log:
        return subprocess.Popen(started, cwd=folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment)


def _watch(users: subprocess.Popen[bytes], pid: int, console: Console) -> list[tuple[float, float]]:
    """The gateway's resident memory about a hundred times, until the users have gone home."""
    begun, samples = time.monotonic(), list[tuple[float, float]]()
    ended = threading.Event()
    threading.Thread(target=lambda: (users.wait(), ended.set()), daemon=True).start()
    while True:
        resident, _ = meters.memory(pid)
        at = time.monotonic() - begun
        samples.append((round(at, 1), resident / 1e6))
        if ended.wait(min(10.0, max(0.5, at / 20))):
            return samples
        console.print(f"{at:6.0f} s  {resident / 1e6:6.1f} MB")


def _stats(folder: Path) -> list[dict[str, Any]]:
    """What locust counted. Raises RigFailed with the end of its log when it wrote nothing."""
    written = folder / "locust.json"
    if not written.exists():
        raise RigFailed("locust wrote no figures: " + (folder / "locust.log").read_text()[-2000:])
    found: list[dict[str, Any]] = json.loads(written.read_text())
    return found


def percentile(entry: dict[str, Any], share: float) -> float:
    """From locust's histogram of rounded milliseconds."""
    times = sorted((float(at), count) for at, count in entry["response_times"].items())
    wanted, passed = share * sum(count for _, count in times), 0
    for at, count in times:
        passed += count
        if passed >= wanted:
            return at
    return 0.0


def markdown(seen: Seen, given: argparse.Namespace) -> str:
    """The report."""
    now = datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    judged = "without" if given.no_classifiers else "with"
    lead = f"Commit {commit_line()}, {now}: {given.users} users for {given.minutes:g} minutes at ASL-3, {judged} classifiers."
    held = table(
        ("what", "seen", "result"), [(one.what, one.seen, "pass" if one.ok else "FAIL") for one in checks(seen)]
    )
    rows = [
        (
            f"{one['method']} {one['name']}",
            one["num_requests"],
            one["num_failures"],
            f"{percentile(one, 0.5):g}",
            f"{percentile(one, 0.99):g}",
        )
        for one in seen.stats
    ]
    figures = table(("what", "count", "failures", "p50 ms", "p99 ms"), rows)
    first, last = seen.samples[0][1], seen.samples[-1][1]
    memory = f"Resident memory: {first:.1f} MB at the start, {last:.1f} MB at the end, {len(seen.samples)} samples."
    outcomes = ", ".join(f"{name} {count}" for name, count in sorted(seen.outcomes.items()))
    said = [f"```\n{seen.locust_said}\n```"] if seen.locust_said else []
    return "\n\n".join(("# Soak", lead, held, figures, memory, f"Outcome rows: {outcomes}.", *said)) + "\n"


def main(arguments: list[str] | None = None) -> int:
    """Soak, print, write."""
    given = _parser().parse_args(arguments)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that everything that was started is ended
    console = Console(stderr=True)
    if lacking := missing(("gcc", "taskset")):
        console.print(f"missing on this machine: apt-get install {' '.join(lacking)}")
        return 1
    if not given.python.exists():
        console.print(f"locust is not installed in {given.python.parent.parent}: run `make soak`, which does that")
        return 1
    try:
        seen = soak(given, console)
    except RigFailed as error:
        console.print(str(error))
        return 1
    text = markdown(seen, given)
    print(text)
    given.out.parent.mkdir(parents=True, exist_ok=True)
    given.out.with_suffix(".md").write_text(text)
    given.out.with_suffix(".json").write_text(json.dumps(asdict(seen), indent=1) + "\n")
    return 0 if all(one.ok for one in checks(seen)) else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m loadtests.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--users", type=int, default=20)
    parser.add_argument("--rate", type=float, default=5, help="users that come each second at the beginning")
    parser.add_argument("--blocked-every", type=int, default=100, help="one request in so many must be blocked")
    parser.add_argument("--no-classifiers", action="store_true", help="rules alone")
    parser.add_argument("--python", type=Path, default=LOCUST, help="Python that has locust")
    parser.add_argument("--client-core", type=int, default=-1, help="core of the users and the model server; -1: any")
    parser.add_argument("--proxy-core", type=int, default=-1, help="core of the gateway; -1: any")
    parser.add_argument(
        "--out", type=Path, default=ROOT / "evidence" / "soak", help="where to write, without extension"
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
