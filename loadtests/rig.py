"""Real processes to measure: a gateway, a scripted model server in a process of its own, or one inside this process."""

from __future__ import annotations

import contextlib
import json
import os
import select
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx

ROOT = Path(__file__).parent.parent
READY_SECONDS = 60.0
CHAT = "/v1/chat/completions"
PORTS = ("--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0")


class RigFailed(Exception):
    """A process did not start or did not become ready."""


@dataclass(frozen=True, slots=True)
class Running:
    """A gateway process."""

    process: subprocess.Popen[bytes]
    data: str
    state: Path
    admin: str = ""

    def cpu_seconds(self) -> float:
        """User and system time of the process so far, in steps of 10 ms on Linux."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def body(text: str, *, stream: bool = False) -> dict[str, object]:
    """A chat request."""
    return {"model": "demo-model", "messages": [{"role": "user", "content": text}], "stream": stream}


@contextlib.contextmanager
def folder() -> Iterator[Path]:
    """A temporary directory."""
    with tempfile.TemporaryDirectory(prefix="asl-evidence-") as name:
        yield Path(name)


@contextlib.contextmanager
def gateway(
    upstream: str, state: Path, *, asl: int = 3, classifiers: bool = True, rules: Path | None = None, core: int = -1
) -> Iterator[Running]:
    """A gateway in front of a model server, ready; on one core only when ``core`` is given. Raises RigFailed."""
    model = ["--upstream", upstream, "--model", "demo-model", "--asl", str(asl)]
    plain = [] if classifiers else ["--no-classifiers"]
    ruled = [] if rules is None else ["--rules", str(rules)]
    with _process("gateway", "serve", *model, *PORTS, "--state", str(state), *plain, *ruled, core=core) as process:
        line = _line(process)
        _ready(line["admin"])
        yield Running(process, line["data"], state, line["admin"])


@contextlib.contextmanager
def model_server() -> Iterator[str]:
    """The scripted model server as a process of its own, answering at once; its URL."""
    with _process("gateway.demo.scripted", "--port", "0", "--rate", "0") as process:
        yield _line(process)["url"]


def command(*arguments: str) -> tuple[int, str]:
    """Run ``asl-gateway``: exit code, and what it said."""
    done = subprocess.run(
        [sys.executable, "-m", "gateway", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    return done.returncode, done.stdout


def cores() -> tuple[int, int]:
    """The first and the last core that this process may use: one for clients and the model server, one for who is measured."""
    usable = sorted(os.sched_getaffinity(0))
    return usable[0], usable[-1]


def pinned(core: int) -> list[str]:
    """What to put before a command so that it keeps to one core; nothing for -1. The process keeps its id."""
    return [] if core < 0 else ["taskset", "-c", str(core)]


@contextlib.contextmanager
def _process(module: str, *arguments: str, core: int = -1) -> Iterator[subprocess.Popen[bytes]]:
    started = [*pinned(core), sys.executable, "-m", module, *arguments]
    with subprocess.Popen(
        started, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as process:
        try:
            yield process
        finally:
            if process.poll() is None:
                process.terminate()
                try:
                    process.wait(10)
                except subprocess.TimeoutExpired:
                    process.kill()


def _line(process: subprocess.Popen[bytes]) -> dict[str, str]:
    """The line that says that a process listens. Raises RigFailed."""
    assert process.stdout is not None
    readable, _, _ = select.select([process.stdout], [], [], READY_SECONDS)
    line = process.stdout.readline() if readable else b""
    if not line:
        raise RigFailed("a process did not say that it listens")
    found: dict[str, str] = json.loads(line)
    return found


def _ready(admin: str) -> None:
    end = time.monotonic() + READY_SECONDS
    while httpx.get(admin + "/readyz", trust_env=False).status_code != 200:
        if time.monotonic() > end:
            raise RigFailed("the gateway did not become ready")
        time.sleep(0.05)
