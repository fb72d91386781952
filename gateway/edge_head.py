"""The byte-level check of a request head, before any HTTP library sees it. No I/O.

What it refuses is what parsers disagree about (threats A1-A9): of 75 bad requests h11 accepts 22 and httptools 11.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

MAX_HEAD = 32 * 1024
MAX_LINE = 8 * 1024
MAX_HEADERS = 100

_REQUEST_LINE = re.compile(rb"([A-Z]{3,10}) (/[!-\"$-~]*) HTTP/1\.([01])")
_NAME = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_VALUE = re.compile(rb"[\t\x20-\x7e\x80-\xff]*")
_HOST = re.compile(rb"(?:[A-Za-z0-9](?:[A-Za-z0-9._~-]{0,252})|\[[0-9A-Fa-f:.]{2,45}\])(?::[0-9]{1,5})?")
_LENGTH = re.compile(rb"0|[1-9][0-9]{0,14}")

SINGLE = frozenset(
    {
        b"authorization", b"anthropic-version", b"content-encoding", b"content-length", b"content-type",
        b"expect", b"host", b"transfer-encoding", b"x-api-key",
    }
)  # fmt: skip
REFUSED = frozenset({b"upgrade", b"http2-settings", b"trailer", b"proxy-connection", b"x-http-method-override"})
# Who a client is, is never what it says of itself (threat F1): these are removed before the application sees the head.
IDENTITY_PREFIXES = (
    b"x-forwarded-",
    b"x-asl-",
    b"x-trusted-",
    b"x-envoy-",
    b"x-original-",
    b"x-auth-",
    b"x-remote-",
    b"x-client-",
    b"x-ssl-",
)
IDENTITY = frozenset(
    {
        b"forwarded",
        b"x-real-ip",
        b"via",
        b"x-user",
        b"x-request-id",
        b"true-client-ip",
        b"cf-connecting-ip",
        b"x-rewrite-url",
    }
)
BODILESS = frozenset({b"GET", b"HEAD", b"OPTIONS", b"TRACE"})


class HeadRefused(Exception):
    """The head is not one that a gateway may act on. ``code`` is a stable slug; the message is for the client."""

    def __init__(self, code: str, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.code = code
        self.status = status
        self.message = message


@dataclass(frozen=True, slots=True)
class Head:
    """An admitted head. ``data`` is what the parser is fed: the head as received, without identity headers."""

    data: bytes
    length: int  # bytes of body to come, when not chunked
    chunked: bool


def check_head(raw: bytes, hosts: frozenset[bytes]) -> Head:
    """Check a whole head, its final empty line included. Raises HeadRefused naming what is wrong.

    ``hosts``: the values of Host that are allowed, lower-case; empty for any.
    """
    lines = raw[:-4].split(b"\r\n")
    match = _REQUEST_LINE.fullmatch(lines[0])
    if match is None or len(lines[0]) > MAX_LINE:
        raise HeadRefused("bad_request_line", "the request line is not METHOD /path HTTP/1.1")
    if len(lines) - 1 > MAX_HEADERS:
        raise HeadRefused("too_many_headers", f"more than {MAX_HEADERS} headers", 431)
    seen: dict[bytes, bytes] = {}
    kept = [lines[0]]
    for line in lines[1:]:
        name, value = _field(line)
        if name in seen and name in SINGLE:
            raise HeadRefused("duplicate_header", f"{name.decode()} is given twice")
        seen[name] = value
        if not _claims_identity(name):
            kept.append(line)
    _host(seen, hosts)
    length, chunked = _framing(seen, http_1_0=match[3] == b"0", method=match[1])
    data = raw if len(kept) == len(lines) else b"\r\n".join(kept) + b"\r\n\r\n"
    return Head(data, length, chunked)


def _field(line: bytes) -> tuple[bytes, bytes]:
    name, colon, value = line.partition(b":")
    if not colon or _NAME.fullmatch(name) is None:
        raise HeadRefused("bad_header_name", "a header line is folded, or its name is not a token")
    if _VALUE.fullmatch(value) is None:
        raise HeadRefused("bad_header_value", "a header value holds a control character or a bare CR or LF")
    name = name.lower()
    if name in REFUSED:
        raise HeadRefused("refused_header", f"{name.decode()} is not supported here")
    return name, value.strip(b" \t")


def _claims_identity(name: bytes) -> bool:
    """Underscores are read as dashes by many servers, so such names are never passed on."""
    return b"_" in name or name in IDENTITY or name.startswith(IDENTITY_PREFIXES)


def _host(seen: dict[bytes, bytes], hosts: frozenset[bytes]) -> None:
    host = seen.get(b"host")
    if host is None or _HOST.fullmatch(host) is None:
        raise HeadRefused("bad_host", "exactly one valid Host is required")
    if hosts and host.lower() not in hosts:
        raise HeadRefused("unknown_host", "this host is not served here", 421)


def _framing(seen: dict[bytes, bytes], *, http_1_0: bool, method: bytes) -> tuple[int, bool]:
    length, coding = seen.get(b"content-length"), seen.get(b"transfer-encoding")
    if coding is not None and (length is not None or http_1_0):
        raise HeadRefused("conflicting_framing", "transfer-encoding with content-length, or in HTTP/1.0")
    if coding is not None and coding != b"chunked":
        raise HeadRefused("bad_transfer_encoding", "the only transfer coding is chunked")
    if length is not None and _LENGTH.fullmatch(length) is None:
        raise HeadRefused("bad_content_length", "content-length is not a plain decimal number")
    size = int(length or 0)
    if method in BODILESS and (size or coding is not None):
        raise HeadRefused("unexpected_body", f"{method.decode()} comes without a body here")
    if seen.get(b"expect", b"100-continue").lower() != b"100-continue":
        raise HeadRefused("bad_expectation", "the only expectation is 100-continue", 417)
    if not _options(seen.get(b"connection", b"")) <= {b"", b"keep-alive", b"close"}:
        raise HeadRefused("bad_connection", "connection may say keep-alive or close")
    return size, coding is not None


def _options(value: bytes) -> set[bytes]:
    return {option.strip().lower() for option in value.split(b",")}


def bare_line_end(data: bytes) -> bool:
    """Whether the bytes hold a CR or LF that is not part of CRLF."""
    return data.count(b"\r") != data.count(b"\r\n") or data.count(b"\n") != data.count(b"\r\n")


class Chunks:
    """Follows a chunked body: plain sizes, no extensions, no trailers. ``take`` says how many bytes belong to it."""

    def __init__(self) -> None:
        self._line = bytearray()
        self._left = 0  # bytes of chunk data still to come, its CRLF included
        self._last = False
        self.done = False

    def take(self, data: bytes) -> int:
        """Follow the body; the number of bytes of ``data`` that are part of it. Raises HeadRefused."""
        at = 0
        while at < len(data) and not self.done:
            if self._left > 2:
                step = min(self._left - 2, len(data) - at)
                self._left -= step
                at += step
            elif self._left:
                if data[at] != (0x0D if self._left == 2 else 0x0A):
                    raise HeadRefused("bad_chunk", "a chunk does not end where its size says")
                self._left -= 1
                at += 1
                self.done = self._last and not self._left
            else:
                at = self._size_line(data, at)
        return at

    def _size_line(self, data: bytes, at: int) -> int:
        end = data.find(b"\n", at)
        self._line += data[at : end + 1] if end >= 0 else data[at:]
        if len(self._line) > 10 or (end >= 0 and re.fullmatch(rb"[0-9A-Fa-f]{1,8}\r\n", self._line) is None):
            raise HeadRefused(
                "bad_chunk", "a chunk size is not a plain hexadecimal number; extensions and trailers are not supported"
            )
        if end < 0:
            return len(data)
        size = int(bytes(self._line), 16)
        self._line.clear()
        self._last = size == 0
        self._left = size + 2
        return end + 1


def hosts_of(names: Iterable[str]) -> frozenset[bytes]:
    """The allowed hosts in the form that ``check_head`` compares."""
    return frozenset(name.lower().encode() for name in names)
