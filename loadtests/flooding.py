"""The flood itself: malformed requests as fast as one core can write them. ``python -m loadtests.flooding URL SECONDS RATE``.

A process of its own, so that it shares nothing with the neighbour whose latencies are measured. Prints one JSON object.
"""

from __future__ import annotations

import json
import selectors
import socket
import sys
import time
from dataclasses import asdict, dataclass
from urllib.parse import urlsplit

CONNECTIONS = 24
BATCH = 32  # requests in one write, where the connection survives them


@dataclass(frozen=True, slots=True)
class Kind:
    """One way to be malformed. ``closes``: the gateway ends the connection after it, so that each costs a connection."""

    name: str
    data: bytes
    closes: bool


def _post(path: str, body: bytes, *more: str) -> bytes:
    lines = [
        f"POST {path} HTTP/1.1",
        "host: a",
        "content-type: application/json",
        f"content-length: {len(body)}",
        *more,
    ]
    return "\r\n".join([*lines, "", ""]).encode() + body


CHAT = "/v1/chat/completions"
KINDS = (
    Kind("unknown route", b"GET /nowhere HTTP/1.1\r\nhost: a\r\n\r\n" * BATCH, closes=False),
    Kind(
        "wrong media type",
        _post(CHAT, b"{}", "x-pad: 1").replace(b"application/json", b"text/plain") * BATCH,
        closes=False,
    ),
    Kind(
        "unknown model", _post(CHAT, b'{"model":"x","messages":[{"role":"user","content":"y"}]}') * BATCH, closes=False
    ),
    Kind("bad framing", b"GET / HTTP/1.1\nhost: a\n\n", closes=True),
    Kind("two lengths", b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n", closes=True),
    Kind("no JSON", _post(CHAT, b'{"model":'), closes=True),
    Kind("duplicate key", _post(CHAT, b'{"model":"a","model":"b"}'), closes=True),
)


@dataclass(slots=True)
class Tally:
    """What was offered and what came back."""

    seconds: float = 0.0
    offered: int = 0
    answered: int = 0
    connections: int = 0


class Writer:
    """One flooding connection: sends its kind, reads the answers, connects anew where it was closed."""

    def __init__(self, address: tuple[str, int], kind: Kind, tally: Tally, selector: selectors.BaseSelector) -> None:
        self._address, self._kind, self._tally, self._selector = address, kind, tally, selector
        self._socket: socket.socket | None = None
        self._waiting = 0

    @property
    def ready(self) -> bool:
        """Whether it may send."""
        return not self._waiting

    def send(self) -> int:
        """Send once; the number of requests."""
        if self._socket is None:
            self._socket = socket.create_connection(self._address, timeout=10)
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._selector.register(self._socket, selectors.EVENT_READ, self)
            self._tally.connections += 1
        number = 1 if self._kind.closes else BATCH
        try:
            self._socket.sendall(self._kind.data)
        except OSError:
            self.close()
            return 0
        self._waiting = number
        self._tally.offered += number
        return number

    def read(self) -> None:
        """Count answers."""
        assert self._socket is not None
        try:
            data = self._socket.recv(1 << 18)
        except OSError:
            data = b""
        found = data.count(b"HTTP/1.1 ")
        self._tally.answered += found
        self._waiting -= found
        if not data or self._kind.closes:
            self.close()

    def close(self) -> None:
        """Whatever is still awaited will not come."""
        if self._socket is not None:
            self._selector.unregister(self._socket)
            self._socket.close()
        self._socket, self._waiting = None, 0


def flood(url: str, seconds: float, rate: float) -> Tally:
    """Send at most ``rate`` requests a second, and no more than is answered."""
    parts = urlsplit(url)
    address = (parts.hostname or "", parts.port or 0)
    tally, began = Tally(), time.monotonic()
    with selectors.DefaultSelector() as selector:
        writers = [Writer(address, KINDS[number % len(KINDS)], tally, selector) for number in range(CONNECTIONS)]
        while (now := time.monotonic()) < began + seconds:
            for writer in writers:
                if writer.ready and tally.offered < rate * (now - began):
                    writer.send()
            for key, _ in selector.select(0.001):
                key.data.read()
        tally.seconds = time.monotonic() - began
        for writer in writers:
            writer.close()
    return tally


if __name__ == "__main__":
    print(json.dumps(asdict(flood(sys.argv[1], float(sys.argv[2]), float(sys.argv[3])))))
