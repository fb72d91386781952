"""An httpx request to the bytes of an HTTP/1.1 request. No I/O.

The head is built once and then held against one grammar and its number of lines, so that nothing in a header, a target or a method can
end a line and begin another one.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum, auto

import httpx

# GET and POST, origin-form target, token names, no control character in a value but tab.
_HEAD = re.compile(
    rb"(?:GET|POST|PUT|PATCH|DELETE|OPTIONS) /[\x21-\x7e]* HTTP/1\.1\r\n"
    rb"(?:[!#$%&'*+\-.^_`|~0-9A-Za-z]+: [\t\x20-\x7e\x80-\xff]*\r\n)+\r\n"
)


_OURS = ("host:", "content-length:", "transfer-encoding:", "upgrade:")


class Framing(Enum):
    """How the body of a request is delimited."""

    NONE = auto()
    LENGTH = auto()
    CHUNKED = auto()


@dataclass(frozen=True, slots=True)
class Head:
    """The request line and headers, down to the empty line, and what they say about the body."""

    data: bytes
    framing: Framing
    length: int


def encode_head(request: httpx.Request) -> Head:
    """Raises httpx.LocalProtocolError for a head that could be read in two ways."""
    parts = [request.method.encode("latin-1"), b" ", request.url.raw_path, b" HTTP/1.1\r\n"]
    for name, value in request.headers.raw:
        parts += (name, b": ", value, b"\r\n")
    parts.append(b"\r\n")
    head = b"".join(parts)
    lines = len(request.headers.raw) + 2
    if head.count(b"\n") != lines or _HEAD.fullmatch(head) is None:
        raise httpx.LocalProtocolError("the head of the request is not plain HTTP/1.1", request=request)
    return Head(head, *_framing(request))


def encode_post(target: bytes, host: str, headers: Iterable[tuple[str, str]], body: bytes) -> bytes:
    """A whole POST. Raises httpx.LocalProtocolError, as ``encode_head`` does, also for headers that are not the caller's to set."""
    lines = [f"{name}: {value}\r\n" for name, value in headers]
    if any(line.lower().startswith(_OURS) for line in lines):
        raise httpx.LocalProtocolError("host and framing of a request are set here")
    fields = "".join(lines)
    if not (host.isascii() and fields.isascii()):
        raise httpx.LocalProtocolError("the head of the request is not plain HTTP/1.1")
    head = b"POST %b HTTP/1.1\r\n" % target + f"host: {host}\r\ncontent-length: {len(body)}\r\n{fields}\r\n".encode(
        "ascii"
    )
    if head.count(b"\n") != len(lines) + 4 or _HEAD.fullmatch(head) is None:
        raise httpx.LocalProtocolError("the head of the request is not plain HTTP/1.1")
    return head + body


def _framing(request: httpx.Request) -> tuple[Framing, int]:
    hosts, kind, length = 0, Framing.NONE, 0
    for name, value in request.headers.raw:
        match name.lower():
            case b"host":
                hosts += 1
            case b"content-length" if kind is Framing.NONE and value.isdigit():
                kind, length = Framing.LENGTH, int(value)
            case b"transfer-encoding" if kind is Framing.NONE and value == b"chunked":
                kind = Framing.CHUNKED
            case b"content-length" | b"transfer-encoding" | b"upgrade":
                raise httpx.LocalProtocolError("the framing of the request is ambiguous", request=request)
            case _:
                pass
    if hosts != 1:
        raise httpx.LocalProtocolError("a request has exactly one Host", request=request)
    return kind, length


def encode_chunk(data: bytes) -> bytes:
    """One chunk of a chunked body; an empty one would end the body and is left out."""
    return b"%x\r\n%b\r\n" % (len(data), data) if data else b""


LAST_CHUNK = b"0\r\n\r\n"
