"""Seeds from the golden files of both dialects and from the tests' disguises; a few hand-written heads, bodies and responses."""

from __future__ import annotations

from random import Random

from support.canary import DISGUISES

from loadtests.fuzz import ROOT

GOLDEN = ROOT / "tests" / "gateway" / "wire" / "golden"
RULE = "\n----------\n"
ESCAPES = {"{CR}": "\r", "{BOM}": "\ufeff", "{NEL}": "\u0085"}
CHAT = b"POST /v1/chat/completions HTTP/1.1\r\nHost: model.test:8080\r\n"


def golden(dialect: str, *kinds: str) -> list[tuple[str, bytes]]:
    """The inputs of golden files of these kinds, with their kind."""
    found = []
    for path in sorted((GOLDEN / dialect).iterdir()):
        kind = path.name.partition("-")[0]
        if kind in kinds:
            given = path.read_text(encoding="utf-8").partition(RULE)[0]
            lines = given.splitlines(keepends=True)
            text = "".join(lines[sum(line.startswith("#") for line in lines[:3]) :])
            for name, character in ESCAPES.items():
                text = text.replace(name, character)
            found.append((kind, text.encode()))
    return found


def requests(dialect: str) -> list[bytes]:
    """Bodies of clients."""
    return [body.strip() for _, body in golden(dialect, "request")]


def answers(dialect: str) -> list[bytes]:
    """Answers of model servers; the first byte asks for three choices, as a stream or whole."""
    found = golden(dialect, "stream", "blocked", "whole")
    return [bytes([4 + (kind == "whole")]) + body for kind, body in found]


def streams() -> list[bytes]:
    """Event streams of both dialects."""
    return [body for name in ("openai", "anthropic") for _, body in golden(name, "stream", "blocked")]


def documents() -> list[bytes]:
    """JSON of all kinds, and its edges."""
    edges = [
        b"",
        b"{}",
        b"[]",
        b'{"a":1,"a":2}',
        b'{"a":"\\u0000"}',
        b'{"a":1e999}',
        b'{"a":9007199254740993}',
        b'{"a":"\\ud800"}',
        b"\xef\xbb\xbf{}",
        b'{"a":NaN}',
        b'{"a":[' * 30,
        b'{"\\u003a":":"}',
        b'{"a":-0.0,"b":1E-400,"c":[null,true,false]}',
    ]
    return [*edges, *requests("openai"), *requests("anthropic"), *(a[1:] for a in answers("openai") if a[0] % 2)]


def heads() -> list[bytes]:
    """Heads of clients and of attackers."""
    lines = [
        b"Content-Length: 5",
        b"Transfer-Encoding: chunked",
        b"Connection: keep-alive, close",
        b"X-Forwarded-For: 1.2.3.4",
        b"x_user: a",
        b"Authorization: Bearer x",
        b"Expect: 100-continue",
        b"Transfer-Encoding : chunked",
        b" folded: x",
        b"Content-Length: +5",
        b"Upgrade: h2c",
        b"Host: other",
        b"Accept: */*\t",
        b"A: \xff\x80",
        b"Content-Length: 5\r\nContent-Length: 5",
    ]
    firsts = [
        b"GET /healthz HTTP/1.0\r\nHost: a\r\n",
        b"GET http://evil/ HTTP/1.1\r\nHost: a\r\n",
        b"PRI * HTTP/2.0\r\n",
        b"POST /%76 HTTP/1.1\r\nHost: [::1]:80\r\n",
        b"GET /a?b HTTP/1.1\r\n",
    ]
    return [*(CHAT + line + b"\r\n\r\n" for line in lines), *(first + b"\r\n" for first in firsts)]


def chunks() -> list[bytes]:
    """Chunked bodies."""
    return [
        b"5\r\nhello\r\n0\r\n\r\n",
        b"A\r\n0123456789\r\n1\r\nx\r\n0\r\n\r\nGET / HTTP/1.1",
        b"5;ext=1\r\nhello\r\n",
        b"0\r\nX-A: b\r\n\r\n",
        b"5\nhello",
        b"00000005\r\nhello\r\n0\r\n\r\n",
        b"fffffffff\r\n",
    ]


def responses() -> list[bytes]:
    """Responses of model servers, sound and odd."""
    ok = b"HTTP/1.1 200 OK\r\n"
    return [
        ok + b"content-length: 5\r\n\r\nhello",
        ok + b"transfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        ok + b"\r\nuntil the end",
        ok + b"content-length: 2\r\n\r\nhiHTTP/1.1 200 OK\r\n\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\n" + ok + b"content-length: 0\r\n\r\n",
        b"HTTP/1.1 204 No Content\r\n\r\n",
        b"HTTP/1.0 200 OK\r\ncontent-length: 1\r\n\r\nx",
        b"HTTP/1.1 101 S\r\nupgrade: x\r\n\r\n",
        ok + b"transfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        ok + b"transfer-encoding: chunked\r\n\r\n1;a=b\r\nx\r\n0\r\nt: v\r\n\r\n",
    ]


def texts() -> list[bytes]:
    """The canary in every disguise."""
    odd = "ﬁ e\u0301\u0323 \u1100\u1161\u11a8 \ufdfa \u200b\u00a0\u3000 \u0130\u03a3 \U0001d15f \U000e0061"
    return [*(text.encode() for text in DISGUISES.values()), odd.encode()]


def tapes() -> list[bytes]:
    """Decisions for each claim about the hold-back machine."""
    return [
        bytes([claim]) + Random(claim * 1000 + length).randbytes(length)
        for claim in range(4)
        for length in (0, 20, 200)
    ]
