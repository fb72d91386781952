"""Real processes: a gateway behind real listeners, and a scripted model server in front of which it stands. Bounded in time."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, TypeVar

import httpx

SECONDS = 30.0
PROMPT = "In one sentence: what does a sidecar do?"
CHAT = "/v1/chat/completions"
PORTS = ("--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0")
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Running:
    """A gateway that listens. ``errors`` is the file of its standard error, ``verify`` whom its clients here trust."""

    process: subprocess.Popen[bytes]
    line: dict[str, Any]
    state: Path
    errors: Path
    verify: ssl.SSLContext | bool = True

    @property
    def data(self) -> str:
        """Base URL of the data plane."""
        return str(self.line["data"])

    @property
    def admin(self) -> str:
        """Base URL of the admin plane."""
        return str(self.line["admin"])

    @property
    def token(self) -> str:
        """The operator's token."""
        return (self.state / "operator.token").read_text().strip()

    def chat(self, text: str = PROMPT, **more: Any) -> httpx.Response:
        """One unary chat completion."""
        url, body = self.data + CHAT, question(text, **more)
        return httpx.post(url, json=body, trust_env=False, timeout=SECONDS, verify=self.verify)

    def api(self, method: str, path: str, **more: Any) -> httpx.Response:
        """One call of the admin API, with the token."""
        headers = {"authorization": f"Bearer {self.token}"} | more.pop("headers", {})
        return httpx.request(
            method,
            f"{self.admin}/api/v1{path}",
            headers=headers,
            trust_env=False,
            timeout=SECONDS,
            verify=self.verify,
            **more,
        )

    def ready(self) -> httpx.Response:
        """What /readyz says."""
        return httpx.get(self.admin + "/readyz", trust_env=False, timeout=SECONDS, verify=self.verify)

    def asked(self) -> int:
        """Exchanges that it has concluded, from its metrics."""
        lines = httpx.get(self.admin + "/metrics", trust_env=False, timeout=SECONDS).text.splitlines()
        return int(
            sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith("asl_gateway_requests_total{"))
        )

    def log(self) -> str:
        """All of standard error so far."""
        return self.errors.read_text()

    def stop(self) -> int:
        """SIGTERM, and the exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(SECONDS)

    def kill(self) -> None:
        """kill -9."""
        self.process.kill()
        self.process.wait(SECONDS)


def question(text: str = PROMPT, **more: Any) -> dict[str, Any]:
    """A chat request."""
    return {"model": "demo-model", "messages": [{"role": "user", "content": text}], **more}


def request(**more: Any) -> bytes:
    """A chat request as the bytes of a plain client."""
    body = json.dumps(question(**more)).encode()
    head = f"POST {CHAT} HTTP/1.1\r\nhost: gateway\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    return head.encode() + body


def command(*arguments: str, environment: Mapping[str, str] | None = None, given: str = "") -> tuple[int, str, str]:
    """Run ``asl-gateway`` as a process of its own: exit code, standard output, standard error."""
    done = subprocess.run(
        [sys.executable, "-m", "gateway", *arguments],
        input=given,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
        env={**os.environ, **(environment or {})},
    )
    return done.returncode, done.stdout, done.stderr


def flags(upstream: str, state: Path, asl: int = 3) -> list[str]:
    """The arguments of ``serve`` in the form without a file; rules only, which start fast."""
    model = ["--upstream", upstream, "--model", "demo-model", "--alias", "demo", "--asl", str(asl)]
    return ["serve", *model, *PORTS, "--state", str(state), "--no-classifiers"]


@contextlib.contextmanager
def gateway(
    state: Path,
    arguments: list[str],
    environment: Mapping[str, str] | None = None,
    verify: ssl.SSLContext | bool = True,
) -> Iterator[Running]:
    """A gateway that is ready; ended with the block if it still runs."""
    errors = state.parent / f"{state.name}-{time.monotonic_ns()}.stderr"
    with errors.open("wb") as sink, _process([*arguments], sink, environment) as process:
        running = Running(process, _line(process, errors), state, errors, verify)
        until(lambda: running.ready().status_code == 200)
        yield running


@contextlib.contextmanager
def scripted(rate: int = 100) -> Iterator[str]:
    """A scripted chat server as a process; its URL."""
    arguments = [sys.executable, "-m", "gateway.demo.scripted", "--port", "0", "--rate", str(rate)]
    with _started(arguments, subprocess.DEVNULL, {}) as process:
        yield str(_line(process, None)["url"])


def _process(
    arguments: list[str], errors: IO[bytes], environment: Mapping[str, str] | None
) -> contextlib.AbstractContextManager[subprocess.Popen[bytes]]:
    return _started([sys.executable, "-m", "gateway", *arguments], errors, environment or {})


@contextlib.contextmanager
def _started(
    arguments: list[str], errors: IO[bytes] | int, environment: Mapping[str, str]
) -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(
        arguments,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=errors,
        env={**os.environ, "ASL_GATEWAY__DEADLINES__GRACE": "0", **environment},
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


def _line(process: subprocess.Popen[bytes], errors: Path | None) -> dict[str, Any]:
    """The line that says that a process listens."""
    assert process.stdout is not None
    readable, _, _ = select.select([process.stdout], [], [], SECONDS)
    line = process.stdout.readline() if readable else b""
    assert line, f"it does not listen: {errors.read_text() if errors else ''}"
    found: dict[str, Any] = json.loads(line)
    return found


def until(holds: Callable[[], T], seconds: float = SECONDS) -> T:
    """Wait until something holds, and return it; fails after a while."""
    end = time.monotonic() + seconds
    while not (found := holds()):
        assert time.monotonic() < end, "it did not come to hold in time"
        time.sleep(0.02)
    return found
