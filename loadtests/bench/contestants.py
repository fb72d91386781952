"""Who is measured: each as a context manager that starts it on the core of proxies, in front of the scripted model server."""

from __future__ import annotations

import contextlib
import itertools
import os
import shlex
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import httpx

from loadtests.bench.tools import program
from loadtests.rig import CHAT, ROOT, RigFailed, body, gateway, pinned

LITELLM = ROOT / ".cache" / "litellm"
LITELLM_FLAGS = ("--num_workers", "1", "--host", "127.0.0.1", "--telemetry", "False")
LITELLM_ENVIRONMENT = {"LITELLM_LOCAL_MODEL_COST_MAP": "True", "LITELLM_MODE": "PRODUCTION", "LITELLM_LOG": "ERROR"}
START_SECONDS = 120.0


@dataclass(frozen=True, slots=True)
class Proxy:
    """One that runs and has answered. ``pid`` is 0 for the way without a proxy; seconds count from the start of its process."""

    port: int
    pid: int
    answered: float = 0.0


@dataclass(frozen=True, slots=True)
class Place:
    """Where contestants run."""

    upstream: int
    rules: Path
    folder: Path
    core: int
    litellm: Path = LITELLM
    numbers: Iterator[int] = field(default_factory=itertools.count)

    def fresh(self, name: str) -> Path:
        """A new folder."""
        made = self.folder / f"{name}-{next(self.numbers)}"
        made.mkdir()
        return made


Start = Callable[[Place], contextlib.AbstractContextManager[Proxy]]


@dataclass(frozen=True, slots=True)
class Contestant:
    """``slow``: spends so much on a chunk that streams are paced more gently, so that none waits for another."""

    id: str
    title: str
    start: Start
    slow: bool = False
    needs: Sequence[str] = ()


@contextlib.contextmanager
def _direct(place: Place) -> Iterator[Proxy]:
    yield Proxy(place.upstream, 0)


def _ours(asl: int, *, classifiers: bool) -> Start:
    @contextlib.contextmanager
    def start(place: Place) -> Iterator[Proxy]:
        begun = time.monotonic()
        state = place.fresh("state")
        url = f"http://127.0.0.1:{place.upstream}"
        with gateway(url, state, asl=asl, classifiers=classifiers, rules=place.rules, core=place.core) as running:
            port = urlsplit(running.data).port
            assert port is not None
            yield Proxy(port, running.process.pid, _answered(port, begun, running.process))

    return start


@contextlib.contextmanager
def _nginx(place: Place) -> Iterator[Proxy]:
    home = place.fresh("nginx")
    port = free_port()
    (home / "nginx.conf").write_text(nginx_conf(home, port, place.upstream))
    command = [str(program("nginx")), "-p", str(home), "-e", str(home / "error.log"), "-c", str(home / "nginx.conf")]
    with _started(command, place.core, home, {}, port) as proxy:
        yield proxy


def nginx_conf(home: Path, port: int, upstream: int) -> str:
    """nginx as a plain reverse proxy: one worker, kept connections, nothing buffered, no log."""
    temporary = "".join(
        f"{kind}_temp_path {home}/{kind}; " for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    return f"""
daemon off; worker_processes 1; pid {home}/nginx.pid; error_log {home}/error.log crit;
events {{ worker_connections 1024; }}
http {{
    access_log off; {temporary}
    keepalive_requests 1000000000; client_body_buffer_size 1m;
    upstream model {{ server 127.0.0.1:{upstream}; keepalive 256; keepalive_requests 1000000000; }}
    server {{
        listen 127.0.0.1:{port};
        location / {{ proxy_pass http://model; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_buffering off; }}
    }}
}}
"""


@contextlib.contextmanager
def _litellm(place: Place) -> Iterator[Proxy]:
    home = place.fresh("litellm")
    port = free_port()
    (home / "config.yaml").write_text(litellm_config(place.upstream))
    python = place.litellm / "bin" / "python"
    if not python.exists():
        raise RigFailed(f"no LiteLLM in {place.litellm}: run `make bench`, which installs it there")
    command = [
        str(place.litellm / "bin" / "litellm"),
        "--config",
        str(home / "config.yaml"),
        "--port",
        str(port),
        *LITELLM_FLAGS,
    ]
    with _started(command, place.core, home, LITELLM_ENVIRONMENT, port) as proxy:
        yield proxy


def litellm_config(upstream: int) -> str:
    """LiteLLM's proxy as its page on production advises, without a database: no verbose log, a master key, no retries to hide a fault."""
    return f"""
model_list:
  - model_name: demo-model
    litellm_params: {{model: openai/demo-model, api_base: "http://127.0.0.1:{upstream}/v1", api_key: sk-none}}
litellm_settings: {{set_verbose: false, json_logs: true, request_timeout: 600, num_retries: 0, drop_params: false}}
general_settings: {{master_key: sk-bench, disable_spend_logs: true, disable_error_logs: true}}
"""


@contextlib.contextmanager
def _started(command: list[str], core: int, home: Path, environment: dict[str, str], port: int) -> Iterator[Proxy]:
    begun = time.monotonic()
    with (
        (home / "log").open("wb") as log,
        subprocess.Popen(
            [*pinned(core), *command],
            cwd=home,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env={**os.environ, **environment},
        ) as process,
    ):
        try:
            yield Proxy(port, process.pid, _answered(port, begun, process))
        except RigFailed as error:
            raise RigFailed(f"{shlex.join(command)}: {error}: {(home / 'log').read_text()[-2000:]}") from error
        finally:
            if process.poll() is None:
                process.terminate()
                try:
                    process.wait(20)
                except subprocess.TimeoutExpired:
                    process.kill()


def _answered(port: int, begun: float, process: subprocess.Popen[bytes]) -> float:
    """Seconds from ``begun`` to the first whole answer. Raises RigFailed."""
    url = f"http://127.0.0.1:{port}{CHAT}"
    status = 0
    while time.monotonic() < begun + START_SECONDS and process.poll() is None:
        with contextlib.suppress(httpx.TransportError):
            status = httpx.post(
                url, json=body("Hello."), headers={"authorization": "Bearer sk-bench"}, timeout=30, trust_env=False
            ).status_code
            if status == 200:
                return time.monotonic() - begun
        time.sleep(0.01)
    raise RigFailed(f"no answer from port {port}, the last status was {status}")


def free_port() -> int:
    """A port that is free now."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


ALL = (
    Contestant("direct", "no proxy", _direct),
    Contestant("nginx", "nginx, reverse proxy", _nginx, needs=("nginx",)),
    Contestant("asl3-plain", "ASL-3, without classifiers", _ours(3, classifiers=False)),
    Contestant("asl1", "ASL-1", _ours(1, classifiers=True)),
    Contestant("asl3", "ASL-3, with classifiers", _ours(3, classifiers=True), slow=True),
    Contestant("litellm", "LiteLLM's proxy", _litellm, slow=True),
)
