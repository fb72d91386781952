"""A soak fails when anything that must hold at its end does not."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from loadtests.rig import ROOT
from loadtests.soak import GROWTH_MB, LOCUST, Seen, checks, growth, percentile


def entry(method: str, name: str, requests: int, failures: int = 0) -> dict[str, Any]:
    """One of locust's."""
    return {"method": method, "name": name, "num_requests": requests, "num_failures": failures, "response_times": {}}


STATS = [entry("POST", "chat", 90), entry("POST", "stream", 9), entry("SSE", "whole", 9), entry("GATE", "block", 1)]
GOOD = Seen([(float(at), 100.0) for at in range(10)], STATS, 0, "", {"served": 99, "blocked_input": 1}, 0)


def failing(seen: Seen) -> list[str]:
    """What does not hold."""
    return [one.what for one in checks(seen) if not one.ok]


def test_a_good_soak_holds() -> None:
    """Nothing is wrong with a run without faults."""
    assert failing(GOOD) == []


@pytest.mark.parametrize(
    ("bad", "what"),
    [
        (replace(GOOD, samples=[(float(at), at * GROWTH_MB) for at in range(10)]), "memory"),
        (replace(GOOD, stats=[*STATS, entry("POST", "chat", 1, 1)]), "no failure"),
        (replace(GOOD, locust_exit=1), "no failure"),
        (replace(GOOD, stats=STATS[:3]), "requests were made"),
        (replace(GOOD, outcomes={"served": 50, "blocked_input": 1}), "every request"),
        (replace(GOOD, outcomes={"served": 100}), "every block"),
        (replace(GOOD, outcomes={**GOOD.outcomes, "unevaluated": 1}), "no outcome"),
        (replace(GOOD, verify_exit=6), "the ledger"),
    ],
)
def test_each_fault_fails_its_own_check(bad: Seen, what: str) -> None:
    """One thing wrong is one check that does not hold."""
    (found,) = failing(bad)
    assert found.startswith(what)


def test_growth_ignores_the_warm_up() -> None:
    """What is taken in the first fifth does not count; what is added after the second does."""
    sizes = [10.0, 90.0, 100.0, 100.0, 100.0, 100.0, 100.0, 100.0, 103.0, 103.0]
    assert growth(list(enumerate(sizes))) == 3.0
    assert growth([(0.0, 50.0)]) == 0.0


def test_percentiles_come_from_the_histogram() -> None:
    """Of ninety-nine fast and one slow request the median is fast and the last is slow."""
    found = {"response_times": {"10": 99, "500": 1}}
    assert (percentile(found, 0.5), percentile(found, 0.99), percentile(found, 1.0)) == (10, 10, 500)


@pytest.mark.slow
def test_a_short_soak_with_real_users(tmp_path: Path) -> None:
    """Locust's users chat, stream, converse and are blocked for a few seconds against a real gateway. Needs `make bench-setup`."""
    assert LOCUST.exists(), "locust is not installed: run `make bench-setup`"
    given = [
        "--minutes",
        "0.15",
        "--users",
        "6",
        "--blocked-every",
        "20",
        "--no-classifiers",
        "--out",
        str(tmp_path / "soak"),
    ]
    done = subprocess.run(
        [sys.executable, "-m", "loadtests.soak", *given],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        env=os.environ,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    named = {(one["method"], one["name"]) for one in json.loads((tmp_path / "soak.json").read_text())["stats"]}
    assert {("SSE", "first byte"), ("SSE", "first text"), ("SSE", "gap"), ("SSE", "whole"), ("GATE", "block")} <= named
