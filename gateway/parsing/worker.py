"""The parser process: ``python -m gateway.parsing.worker FD``. Answers one request after the other on its socket until that closes.

It has no secrets, no files and no other connection, and it dies with the gateway: the socket closes.
"""

from __future__ import annotations

import signal
import socket
import sys
from collections.abc import Iterator

from gateway.errors import BadRequest
from gateway.parsing.frames import LENGTH, Ask, Message, pack, read_ask, refused, told
from gateway.parsing.weight import bounded
from gateway.wire.base import Dialect
from gateway.wire.dialects import dialects


def answer(ask: Ask, known: dict[str, Dialect]) -> Iterator[Message]:
    """Everything that is said to one request. Raises KeyError for an unknown dialect: a fault of ours."""
    try:
        bounded(ask.body)
        exchange = known[ask.dialect].parse(ask.body, ask.limits)
    except BadRequest as error:
        yield refused(ask.number, error)
        return
    yield from told(ask.number, exchange)


def serve(connection: socket.socket) -> None:
    """Until the other side closes."""
    known = {dialect.id: dialect for dialect in dialects()}
    while (data := _message(connection)) is not None:
        for message in answer(read_ask(data), known):
            connection.sendall(pack(message))


def _message(connection: socket.socket) -> bytes | None:
    """The next message, or None at the end."""
    head = _exactly(connection, LENGTH.size)
    return _exactly(connection, LENGTH.unpack(head)[0]) if head else None


def _exactly(connection: socket.socket, size: int) -> bytes | None:
    data = bytearray()
    while len(data) < size:
        found = connection.recv(min(size - len(data), 1 << 20))
        if not found:
            return None
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
