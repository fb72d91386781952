"""Targets: request heads held against two HTTP parsers, chunked bodies held against their grammar, and model servers' responses."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable
from typing import Any

import h11
import httptools
import httpx

from gateway.edge_head import IDENTITY, IDENTITY_PREFIXES, Chunks, Head, HeadRefused, bare_line_end, check_head
from gateway.upstream.response import ResponseReader
from loadtests.fuzz.cuts import pieces
from loadtests.fuzz.documents import claim

END = b"\r\n\r\n"
_CHUNK = re.compile(rb"([0-9A-Fa-f]{1,8})\r\n")
Check = Callable[[bytes, frozenset[bytes]], Head]


class Llhttp:
    """What httptools makes of a head."""

    def __init__(self, data: bytes) -> None:
        self.url = b""
        self.headers: list[tuple[bytes, bytes]] = []
        parser = httptools.HttpRequestParser(self)
        parser.feed_data(data)
        self.method = parser.get_method()

    def on_url(self, url: bytes) -> None:
        self.url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers.append((name.lower(), value.strip(b" \t")))


def head(data: bytes, check: Check = check_head) -> None:
    """What is admitted, httptools and h11 read alike, in one way, and no client says in it who it is."""
    raw = data.partition(END)[0] + END
    if bare_line_end(raw):
        return
    try:
        admitted = check(raw, frozenset())
    except HeadRefused as refusal:
        claim(refusal.status in {400, 417, 421, 431}, "a status that the edge has no words for")
        claim(refusal.message.isascii(), "a message quotes the head")
        return
    if b"expect:" not in admitted.data.lower():  # both wait then for a word of ours
        read_alike(admitted)


def read_alike(admitted: Head) -> None:
    """Two parsers of other people find the request that was admitted."""
    method, target, headers = b"", b"", []
    try:
        fast = Llhttp(admitted.data)
    except httptools.HttpParserError:
        return  # an unknown method: the edge then refuses in its own words
    connection = h11.Connection(h11.SERVER, max_incomplete_event_size=1 << 20)
    connection.receive_data(admitted.data)
    with contextlib.suppress(h11.RemoteProtocolError):
        request = connection.next_event()
        assert isinstance(request, h11.Request)
        method, target, headers = request.method, request.target, list(request.headers)
    if not method:  # h11 is stricter in a few places; what it refuses it does not read differently
        headers, method, target = fast.headers, fast.method, fast.url
    line = admitted.data.split(b"\r\n", 1)[0].split(b" ")
    assert (fast.method, fast.url) == (method, target) == (line[0], line[1]), "the request line is read in two ways"
    assert fast.headers == headers, "headers are read in two ways"
    lengths = [int(value) for name, value in fast.headers if name == b"content-length"]
    codings = [value for name, value in fast.headers if name == b"transfer-encoding"]
    assert (lengths or [0]) == [admitted.length], "the length is read in two ways"
    assert codings == ([b"chunked"] if admitted.chunked else []), "the coding is read in two ways"
    for name, _ in fast.headers:
        assert name not in IDENTITY, "a client says who it is"
        assert not name.startswith(IDENTITY_PREFIXES), "a client says who it is"


def chunks(data: bytes, follower: Callable[[], Any] = Chunks) -> None:
    """Exactly the bytes that the grammar gives to the body are taken, wherever they are cut."""
    wanted = chunked(data)
    for parts in ([data], pieces(data)):
        followed = follower()
        taken = 0
        try:
            for part in parts:
                if followed.done:
                    break
                taken += followed.take(part)
        except HeadRefused:
            assert wanted is None, "a sound body is refused"
            continue
        assert wanted == (taken, followed.done), "the body ends elsewhere"


def chunked(data: bytes) -> tuple[int, bool] | None:
    """The model: bytes that belong to the body and whether it ended; None where it is not one."""
    at = 0
    while at < len(data):
        size = _CHUNK.match(data, at)
        if size is None:
            begun = (
                b"\n" not in data[at:] and len(data) - at <= 10
            )  # judged once its line ends, or is too long to be one
            return (len(data), False) if begun else None
        end = size.end() + int(size[1], 16)
        if data[end : end + 2] not in {b"\r\n", b"\r", b""}:
            return None
        if end + 2 > len(data):
            return len(data), False
        at = end + 2
        if not int(size[1], 16):
            return at, True
    return len(data), False


def response(data: bytes, reader: Callable[[], Any] = ResponseReader) -> None:
    """A response is read or refused with the typed error, the same wherever it is cut; nothing after its end is part of it."""
    # llhttp swallows line ends behind a response without a word, where they come together with its end.
    blank = data[-1:] in {b"\r", b"\n"}
    whole, cut = (answered(parts, reader, tainted=not blank) for parts in ([data], pieces(data)))
    assert whole == cut, "a response depends on where it is cut"


def answered(parts: list[bytes], make: Callable[[], Any], *, tainted: bool) -> tuple[Any, ...]:
    """Status, headers and body (nothing where it is refused), whether it was refused, and whether it was complete."""
    reader, refused = make(), False
    try:
        for part in parts:
            reader.feed(part)
    except httpx.RemoteProtocolError:
        refused = True
    ended = not refused and reader.end()
    found = None if refused else (reader.status, reader.headers, reader.take(), tainted and reader.tainted)
    return found, refused, ended
