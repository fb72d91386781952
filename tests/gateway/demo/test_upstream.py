"""Which model server the demo starts, and that it ends."""

from __future__ import annotations

import asyncio
import socket
import sys

import httpx
import pytest

from gateway.demo import upstream
from gateway.demo.upstream import DemoFailed, free_port, start_model_server


def test_a_free_port_can_be_listened_on() -> None:
    """The port is free a moment later."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", free_port()))


async def test_the_real_server_is_taken_and_ends() -> None:
    """With the wheels installed it is llama.cpp that answers; after ``stop`` nobody does, and a second stop is nothing."""
    server = await start_model_server()
    try:
        assert server.kind == "llama.cpp"
        async with httpx.AsyncClient(base_url=server.url, trust_env=False) as client:
            listed = await client.get("/v1/models")
            assert "demo-model" in listed.text
            assert ".gguf" not in listed.text
    finally:
        await server.stop()
    await server.stop()
    assert server.process.returncode is not None
    async with httpx.AsyncClient(base_url=server.url, trust_env=False) as client:
        with pytest.raises(httpx.ConnectError):
            await client.get("/v1/models")


async def test_without_the_wheels_the_scripted_one_is_taken_and_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """The stand-in serves under the same name and says what it is."""
    monkeypatch.setattr(upstream, "model_file", lambda: None)
    server = await start_model_server()
    assert server.kind == "scripted"
    await server.stop()


async def test_a_real_server_that_does_not_start_is_replaced_and_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The fallback is never silent."""
    real = upstream._start

    async def start(kind: str, module: str, *arguments: str) -> upstream.ModelServer:
        return await real(kind, "gateway.nothing" if kind == "llama.cpp" else module, *arguments)

    monkeypatch.setattr(upstream, "_start", start)
    server = await start_model_server()
    assert server.kind == "scripted"
    assert "did not start" in capsys.readouterr().err
    await server.stop()


async def test_when_neither_starts_the_demo_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    """A silent or hanging process is a DemoFailed, and is not left running."""
    with pytest.raises(DemoFailed, match="did not say that it listens"):
        await upstream._start("scripted", "gateway.nothing")
    monkeypatch.setattr(upstream, "READY_SECONDS", 0.05)
    with pytest.raises(DemoFailed):
        await upstream._start("scripted", "gateway.demo.scripted")


async def test_a_server_that_ignores_sigterm_is_killed() -> None:
    """``stop`` returns in bounded time, whatever the process does."""

    program = "import signal,sys,time;signal.signal(15,signal.SIG_IGN);print('x',flush=True);time.sleep(60)"
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", program, stdout=asyncio.subprocess.PIPE)
    assert process.stdout is not None
    await process.stdout.readline()
    await upstream.ModelServer("scripted", "", process).stop()
    assert process.returncode == -9
