"""One parser process as the gateway sees it: started, asked, killed. Whatever goes wrong with it is a ``ProcessFailed``."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import subprocess
import sys
from collections.abc import Sequence

from gateway.exchange import Exchange
from gateway.parsing.frames import LENGTH, LOT_BYTES, Ask, Assembly, Nonsense, pack, read

COMMAND = (sys.executable, "-P", "-m", "gateway.parsing.worker")
LARGEST_MESSAGE = 64 << 20


class ProcessFailed(Exception):
    """The process cannot be asked again. ``reason`` is a slug: ``killed`` or ``nonsense``."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Process:
    """Made by ``start``. One request at a time; after a failure, a timeout or a cancellation only ``kill`` is left."""

    def __init__(
        self, process: subprocess.Popen[bytes], reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self._process, self._reader, self._writer = process, reader, writer

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    async def ask(self, ask: Ask, body: bytes) -> Exchange:
        """Have a body parsed. Raises BadRequest (what the parser has against it), ProcessFailed."""
        try:
            self._writer.write(pack(ask))
            for at in range(0, len(body), LOT_BYTES):
                self._writer.write(body[at : at + LOT_BYTES])
                await self._writer.drain()
            return await self._answer(Assembly(ask.number, ask.dialect))
        except (OSError, EOFError) as error:  # IncompleteReadError is an EOFError
            raise ProcessFailed("killed") from error
        except Nonsense as error:
            raise ProcessFailed("nonsense") from error

    async def _answer(self, assembly: Assembly) -> Exchange:
        exchange = None
        while exchange is None:
            size = LENGTH.unpack(await self._reader.readexactly(LENGTH.size))[0]
            if size > LARGEST_MESSAGE:
                raise Nonsense("a message of an impossible length")
            exchange = assembly.take(read(await self._reader.readexactly(size)))
            await asyncio.sleep(0)  # what is buffered is read without waiting: one message a turn of the loop
        return exchange

    async def kill(self) -> None:
        """End it now and reap it."""
        self._process.kill()
        self._writer.close()
        with contextlib.suppress(OSError):
            await self._writer.wait_closed()
        await asyncio.to_thread(self._process.wait)


async def start(command: Sequence[str] = COMMAND) -> Process:
    """A fresh interpreter with the modules of this one. Raises ProcessFailed."""
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    try:
        process = await asyncio.to_thread(_spawn, command, theirs)
    except OSError as error:
        ours.close()
        raise ProcessFailed("not_started") from error
    finally:
        theirs.close()
    reader, writer = await asyncio.open_connection(sock=ours)
    return Process(process, reader, writer)


def _spawn(command: Sequence[str], connection: socket.socket) -> subprocess.Popen[bytes]:
    path = os.pathsep.join(place for place in sys.path if place)
    return subprocess.Popen(  # noqa: S603  # our own interpreter with our own module
        [*command, str(connection.fileno())],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        pass_fds=[connection.fileno()],
        env={"PYTHONPATH": path, "PATH": os.environ.get("PATH", "")},  # no secret of ours is handed on
    )
