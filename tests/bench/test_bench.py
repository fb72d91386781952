"""The bench runs end to end: real programs, a real gateway, tiny counts."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from loadtests.bench.contestants import litellm_config, nginx_conf
from loadtests.bench.tools import program
from loadtests.rig import ROOT

pytestmark = pytest.mark.xdist_group("bench")


def bench(out: Path, *arguments: str) -> dict[str, Any]:
    """A quick run as a process of its own; what it wrote."""
    given = [sys.executable, "-m", "loadtests.bench", "--quick", "--out", str(out), *arguments]
    done = subprocess.run(given, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False, env=os.environ)
    assert done.returncode == 0, done.stdout + done.stderr
    written: dict[str, Any] = json.loads(out.with_suffix(".json").read_text())
    return written


def test_the_bench_runs_end_to_end(tmp_path: Path) -> None:
    """A gateway with a thousand rules is measured beside the bare model server: unary, streams and memory, each with a figure."""
    measures = ["memory", "many", "chunks", "first"]
    written = bench(tmp_path / "bench", "--only", "direct", "asl3-plain", "--measures", *measures)
    ours = written["figures"]["asl3-plain"]
    assert sorted(ours) == sorted(measures)
    assert written["faults"] == []
    assert ours["many"]["requests_per_s"]["0"] > 0
    assert ours["many"]["cpu_per_request_us"]["0"] > 0
    assert ours["chunks"]["cpu_per_chunk_us"]["0"] > 0
    assert ours["first"]["first_text_us"]["0"] > written["figures"]["direct"]["first"]["first_text_us"]["0"]
    assert "| ASL-3, without classifiers |" in (tmp_path / "bench.md").read_text()


def test_configurations_name_the_model_server(tmp_path: Path) -> None:
    """nginx and LiteLLM are pointed at the scripted model server, without a log line for each request."""
    conf = nginx_conf(tmp_path, 1234, 5678)
    assert "listen 127.0.0.1:1234;" in conf
    assert "server 127.0.0.1:5678;" in conf
    assert "access_log off;" in conf
    assert "proxy_buffering off;" in conf
    assert "http://127.0.0.1:5678/v1" in litellm_config(5678)


@pytest.mark.slow
def test_every_measure_of_nginx_and_of_a_gateway_with_classifiers(tmp_path: Path) -> None:
    """All measures give figures, start-up included, and the picture is drawn. Needs `make bench-setup`."""
    assert program("nginx"), "nginx is not installed: run `make bench-setup`"
    written = bench(tmp_path / "bench", "--only", "direct", "nginx", "asl3")
    assert written["faults"] == []
    assert written["figures"]["asl3"]["start"]["answered_s"]["0"] > 0
    assert (tmp_path / "bench.png").stat().st_size > 0
