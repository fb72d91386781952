"""The parser process: ``python -m gateway.parsing.worker FD``. Answers one request after the other on its socket until that closes.

It has no secrets, no files and no other connection, and it dies with the gateway: the socket closes.
"""

from __future__ import annotations

import contextlib
import signal
import socket
import sys
from collections.abc import Iterator

from gateway.errors import BadRequest
from gateway.parsing.frames import LENGTH, Ask, Message, pack, read_ask, refused, told
from gateway.parsing.weight import bounded
from gateway.wire.base import Dialect
from gateway.wire.dialects import dialects


def answer(ask: Ask, body: bytes, known: dict[str, Dialect]) -> Iterator[Message]:
    """Everything that is said to one request. Raises KeyError for an unknown dialect: a fault of ours."""
    try:
        bounded(body)
        exchange = known[ask.dialect].parse(body, ask.limits)
    except BadRequest as error:
        yield refused(ask.number, error)
        return
    yield from told(ask.number, exchange)


def serve(connection: socket.socket) -> None:
    """Until the other side closes."""
    known = {dialect.id: dialect for dialect in dialects()}
    with contextlib.suppress(EOFError):
        while True:
            ask = read_ask(_exactly(connection, LENGTH.unpack(_exactly(connection, LENGTH.size))[0]))
            for message in answer(ask, _exactly(connection, ask.size), known):
                connection.sendall(pack(message))


def _exactly(connection: socket.socket, size: int) -> bytes:
    """So many bytes. Raises EOFError at the end of the connection."""
    data = bytearray()
    while len(data) < size:
        found = connection.recv(min(size - len(data), 1 << 20))
        if not found:
            raise EOFError
        data += found
    return bytes(data)


def main() -> None:
    """The gateway ends this process; a signal to the whole group must not, while exchanges are finished."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    with socket.socket(fileno=int(sys.argv[1])) as connection:
        try:
            serve(connection)
        except ConnectionError:
            return  # the gateway is gone


if __name__ == "__main__":
    main()
