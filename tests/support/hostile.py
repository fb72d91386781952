"""What no polite client or model server does, over raw sockets, and what a process holds meanwhile."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import socket
import threading
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import httpx

from support.loops import looping
from support.running import CHAT, SECONDS, Running, question

MIB = 1 << 20
Answer = Callable[[asyncio.StreamWriter], "asyncio.Future[None]"]


def memory(pid: int, name: str) -> int:
    """``VmRSS`` (now) or ``VmHWM`` (the most so far) of a process and its children, in bytes."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    total = 0
    for process in (str(pid), *children):
        status = dict(line.split(":", 1) for line in Path(f"/proc/{process}/status").read_text().splitlines())
        total += int(status[name].split()[0]) * 1024
    return total


def forget_peaks(pid: int) -> None:
    """From now on ``VmHWM`` begins at what is held now."""
    for process in (str(pid), *Path(f"/proc/{pid}/task/{pid}/children").read_text().split()):
        Path(f"/proc/{process}/clear_refs").write_text("5")


def connect(running: Running, *, buffer: int | None = None) -> socket.socket:
    """A raw connection to the data plane; ``buffer``: what the kernel may keep for a client that does not read."""
    parts = urlsplit(running.data)
    connection = socket.socket()
    connection.settimeout(SECONDS)
    if buffer is not None:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
    connection.connect((parts.hostname, parts.port))
    return connection


def head(length: int | None, *more: str) -> bytes:
    """The head of a chat request; chunked without a length."""
    framing = f"content-length: {length}" if length is not None else "transfer-encoding: chunked"
    lines = [f"POST {CHAT} HTTP/1.1", "host: a", "content-type: application/json", framing, *more, "", ""]
    return "\r\n".join(lines).encode()


def send(connection: socket.socket, pieces: Iterable[bytes]) -> None:
    """Send until all is sent or the other side has had enough."""
    with contextlib.suppress(ConnectionError):
        for piece in pieces:
            connection.sendall(piece)


def answer(connection: socket.socket) -> bytes:
    """What comes until the other side closes, or for a whole answer of known length."""
    data = b""
    with contextlib.suppress(ConnectionError):
        while found := connection.recv(65536):
            data += found
            if whole(data):
                break
    return data


def whole(data: bytes) -> bool:
    """Whether the answer has all that its head promises, or its last chunk."""
    head, _, body = data.partition(b"\r\n\r\n")
    length = re.search(rb"\ncontent-length: (\d+)", head)
    return len(body) >= int(length[1]) if length else body.endswith(b"0\r\n\r\n")


@contextlib.contextmanager
def neighbours(running: Running) -> Iterator[None]:
    """A polite client and a probe of the admin plane all the while: every answer is as it should be, and there are some of both."""
    over, faults, served = threading.Event(), [], []

    def visit() -> None:
        with httpx.Client(trust_env=False, timeout=SECONDS) as client:
            while not over.is_set() or not (served or faults):
                try:
                    chat = client.post(running.data + CHAT, json=question())
                    live = client.get(running.admin + "/livez")
                    served.append((chat.status_code, live.status_code))
                except httpx.HTTPError as error:
                    faults.append(repr(error))
                over.wait(0.01)

    thread = threading.Thread(target=visit)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join(2 * SECONDS)
    assert not faults
    assert set(served) == {(200, 200)}


@contextlib.contextmanager
def rude(events: Callable[[], Iterable[bytes]]) -> Iterator[str]:
    """A model server that answers a prompt with the word ``rude`` by a stream of these pieces, any other properly; its URL."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            while True:
                raw = await reader.readuntil(b"\r\n\r\n")
                length = int(raw.lower().partition(b"content-length:")[2].partition(b"\r\n")[0])
                body = await reader.readexactly(length)
                if b"rude" not in body:
                    writer.write(_polite())
                    continue
                writer.write(
                    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
                )
                for piece in events():
                    writer.write(b"%x\r\n%b\r\n" % (len(piece), piece))
                    await writer.drain()
                writer.write(b"0\r\n\r\n")
        writer.close()

    with looping() as loop:

        async def begin() -> asyncio.Server:
            return await asyncio.start_server(serve, "127.0.0.1", 0)

        async def end() -> None:
            server.close()
            for task in asyncio.all_tasks() - {asyncio.current_task()}:
                task.cancel()
            await asyncio.sleep(0)

        server = loop.run(begin())
        try:
            yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        finally:
            loop.run(end())


def _polite() -> bytes:
    body = json.dumps(
        {
            "id": "c",
            "object": "chat.completion",
            "created": 1,
            "model": "m",
            "choices": [
                {"index": 0, "message": {"role": "assistant", "content": "Good day."}, "finish_reason": "stop"}
            ],
            "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
        }
    ).encode()
    return b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body)


def delta(text: str) -> bytes:
    """One event of a streamed answer."""
    choice = {"index": 0, "delta": {"content": text}, "finish_reason": None}
    event = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice]}
    return b"data: " + json.dumps(event).encode() + b"\n\n"
