"""Starts the demo's model server as a process of its own: llama.cpp with a real small model, or the scripted one, and says which."""

from __future__ import annotations

import asyncio
import json
import socket
import sys
from dataclasses import dataclass

from gateway.demo.llama import MODEL, model_file

READY_SECONDS = 60.0


class DemoFailed(Exception):
    """The demo could not start or did not show what it promises."""


@dataclass(slots=True)
class ModelServer:
    """A running model server. ``kind`` is ``llama.cpp`` or ``scripted``."""

    kind: str
    url: str
    process: asyncio.subprocess.Process

    async def stop(self) -> None:
        """End it: politely, then at once."""
        if self.process.returncode is not None:
            return
        self.process.terminate()
        try:
            async with asyncio.timeout(3):
                await self.process.wait()
        except TimeoutError:
            self.process.kill()
            await self.process.wait()


def free_port() -> int:
    """A loopback port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def start_model_server() -> ModelServer:
    """The real one where its wheels are installed and it starts; else the scripted one. Raises DemoFailed when neither does."""
    if model_file() is not None:
        try:
            return await _start("llama.cpp", "gateway.demo.llama")
        except DemoFailed as error:
            sys.stderr.write(f"the real model server did not start ({error}); using the scripted one\n")
    return await _start("scripted", "gateway.demo.scripted", "--rate", "40", "--model", MODEL)


async def _start(kind: str, module: str, *arguments: str) -> ModelServer:
    port = free_port()
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        module,
        "--port",
        str(port),
        *arguments,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    assert process.stdout is not None
    try:
        async with asyncio.timeout(READY_SECONDS):
            line = await process.stdout.readline()
        url = str(json.loads(line)["url"])
    except (TimeoutError, ValueError, KeyError) as error:
        if process.returncode is None:
            process.kill()
        await process.wait()
        raise DemoFailed(f"{module} did not say that it listens") from error
    return ModelServer(kind, url, process)
