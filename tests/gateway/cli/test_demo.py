"""``asl-gateway demo``: the real model server, the real classifier, the tour, and a clean end."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Self

import httpx
import pytest
from support.running import Running, command
from typer.testing import CliRunner

from gateway.app.listeners import Addresses
from gateway.cli import demo
from gateway.cli.exits import Exit
from gateway.cli.main import app
from gateway.demo.tour import Step
from gateway.demo.upstream import DemoFailed

PORTS = ("--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0")
STEPS = ["benign_streamed", "prompt_blocked", "answer_blocked", "raised", "halted", "released", "benign_again"]


def test_the_demo_shows_its_tour_on_the_real_model(tmp_path: Path) -> None:
    """Every step is ok, llama.cpp answered and not the stand-in, and stdout is the contract's one document."""
    code, out, err = command("demo", *PORTS, "--state", str(tmp_path / "s"), "--exit", "--json")
    assert code == 0, err
    data = json.loads(out)
    assert set(data) == {"data", "admin", "upstream", "tour"}
    assert data["upstream"] == "llama.cpp"
    assert [(step["step"], step["ok"]) for step in data["tour"]] == [(name, True) for name in STEPS]
    assert all(set(step) == {"step", "ok", "status", "finish_reason"} for step in data["tour"])
    assert "SmolLM2-135M-Instruct on llama.cpp" in err
    assert command("ledger", "verify", "--state", str(tmp_path / "s"))[0] == 0


def test_the_demo_stays_up_until_a_signal(tmp_path: Path) -> None:
    """Without --exit it names its URLs, serves, and ends with 0 on SIGTERM."""
    arguments = [sys.executable, "-m", "gateway", "demo", *PORTS, "--state", str(tmp_path / "s")]
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout is not None
        lines: list[str] = []
        for line in process.stdout:
            lines.append(line)
            if "Ctrl-C" in line:
                break
        try:
            replicas = json.loads((tmp_path / "s" / "admin.json").read_text())["replicas"]
            running = Running(process, replicas[0], tmp_path / "s", tmp_path)  # type: ignore[arg-type]  # text or bytes
            assert running.chat("Say hi.", max_tokens=4).status_code == 200
            assert f"{running.data}/v1" in "".join(lines)
        finally:
            process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0


def test_a_demo_that_cannot_start_names_the_next_step(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No model server, or an address that is taken, ends with 1 and a hint."""

    async def fail() -> Any:
        raise DemoFailed("no model server")

    monkeypatch.setattr(demo, "configure", lambda **_: None)
    monkeypatch.setattr(demo, "start_model_server", fail)
    done = CliRunner().invoke(app, ["demo", *PORTS, "--state", str(tmp_path), "--exit"])
    assert done.exit_code == Exit.FAILURE
    assert "no model server" in done.stderr
    assert "--state" in done.stderr


class StandIn:
    """A gateway and a model server of which only the ends matter."""

    kind, url = "scripted", "http://127.0.0.1:9"

    def __init__(self, settings: Any = None, _: Any = None) -> None:
        self.settings = settings
        self.stopped = 0

    async def start(self) -> Addresses:
        (self.settings.state).mkdir(exist_ok=True)
        (self.settings.state / "operator.token").write_text("t")
        return Addresses("http://127.0.0.1:1", "http://127.0.0.1:2")

    async def stop(self) -> None:
        self.stopped += 1


class FailingTour:
    """A tour whose only step shows nothing."""

    def __init__(self, *_: Any) -> None:
        pass

    async def steps(self) -> AsyncIterator[Step]:
        yield Step("prompt_blocked", False, 200, "none", "served")

    async def close(self) -> None:
        pass


def test_a_step_that_fails_fails_the_demo_and_stops_everything(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Also without --exit a tour that did not show what it should ends the demo with 1; a stand-in is named in capitals."""
    server = StandIn()

    async def begin() -> StandIn:
        return server

    async def ready(_: Addresses) -> None:
        return None

    for name, value in (
        ("configure", lambda **_: None),
        ("start_model_server", begin),
        ("Gateway", StandIn),
        ("_ready", ready),
        ("Tour", FailingTour),
    ):
        monkeypatch.setattr(demo, name, value)
    done = CliRunner().invoke(app, ["demo", *PORTS, "--state", str(tmp_path / "s")])
    assert done.exit_code == Exit.FAILURE
    assert "SCRIPTED stand-in" in done.stdout
    assert "FAILED" in done.stdout
    assert "the tour did not show what it should" in done.stderr
    assert server.stopped == 1


async def test_a_gateway_that_does_not_become_ready_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    """The reasons are in the message."""

    class Client:
        def __init__(self, **_: Any) -> None:
            pass

        async def __aenter__(self) -> Self:
            return self

        async def __aexit__(self, *_: object) -> None:
            return None

        async def get(self, _: str) -> httpx.Response:
            return httpx.Response(503, json={"ready": False, "reasons": ["classifier_not_ready"]})

    monkeypatch.setattr(demo.httpx, "AsyncClient", Client)
    monkeypatch.setattr(demo, "READY_SECONDS", 1)
    with pytest.raises(DemoFailed, match="classifier_not_ready"):
        await demo._ready(Addresses("", "http://127.0.0.1:2"))
