from __future__ import annotations

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.upstream.request import LAST_CHUNK, Framing, encode_chunk, encode_head, encode_post


def request(*headers: tuple[str, str], method: str = "POST", url: str = "http://h/p?q=1") -> httpx.Request:
    """A request with exactly these headers."""
    return httpx.Request(method, url, headers=list(headers), stream=httpx.ByteStream(b""))


def test_head_as_given() -> None:
    """The head is the request line and the headers in their order."""
    head = encode_head(request(("Host", "h"), ("X-A", "1"), ("x-a", "2"), ("Content-Length", "3")))
    assert head.data == b"POST /p?q=1 HTTP/1.1\r\nHost: h\r\nX-A: 1\r\nx-a: 2\r\nContent-Length: 3\r\n\r\n"
    assert (head.framing, head.length) == (Framing.LENGTH, 3)


def test_framings() -> None:
    """A head without framing announces no body; chunked has no length."""
    assert encode_head(request(("host", "h"))).framing is Framing.NONE
    assert encode_head(request(("host", "h"), ("transfer-encoding", "chunked"))).framing is Framing.CHUNKED


@pytest.mark.parametrize(
    "headers",
    [
        [],
        [("host", "h"), ("host", "h")],
        [("host", "h"), ("content-length", "1"), ("content-length", "1")],
        [("host", "h"), ("content-length", "1"), ("transfer-encoding", "chunked")],
        [("host", "h"), ("transfer-encoding", "chunked"), ("content-length", "1")],
        [("host", "h"), ("content-length", "-1")],
        [("host", "h"), ("transfer-encoding", "gzip")],
        [("host", "h"), ("upgrade", "h2c")],
        [("host", "h"), ("x", "a\r\nevil: 1")],
        [("host", "h"), ("x", "a\nb")],
        [("host", "h"), ("x", "a\0b")],
        [("host", "h"), ("x y", "a")],
        [("host", "h"), ("", "a")],
    ],
)
def test_doubtful_heads_are_refused(headers: list[tuple[str, str]]) -> None:
    """No head goes out that a server could read in two ways."""
    with pytest.raises(httpx.LocalProtocolError):
        encode_head(request(*headers))


@pytest.mark.parametrize("method", ["HEAD", "CONNECT", "PURGE", "GET /x HTTP/1.1\r\nX:"])
def test_methods(method: str) -> None:
    """Methods whose answers have no body, and whatever is no method, are refused."""
    with pytest.raises(httpx.LocalProtocolError):
        encode_head(request(("host", "h"), method=method))


@given(st.binary(max_size=30), st.binary(max_size=30))
def test_no_header_makes_a_line(name: bytes, value: bytes) -> None:
    """Whatever bytes a header has, the head has as many lines as headers, or is refused."""
    sent = httpx.Request("POST", "http://h/", headers=[(b"host", b"h"), (name, value)], stream=httpx.ByteStream(b""))
    try:
        head = encode_head(sent)
    except httpx.LocalProtocolError:
        return
    assert head.data.count(b"\n") == head.data.count(b"\r") == 4


def test_chunks() -> None:
    """A chunk carries its length in hex; an empty one would end the body and vanishes."""
    assert encode_chunk(b"x" * 26) == b"1a\r\n" + b"x" * 26 + b"\r\n"
    assert encode_chunk(b"") == b""
    assert LAST_CHUNK == b"0\r\n\r\n"


@given(st.text(max_size=30), st.text(max_size=30), st.binary(max_size=9))
def test_a_whole_post_is_what_the_parts_would_be(name: str, value: str, body: bytes) -> None:
    """For any header it is the very head and body of the same httpx request, or it is refused; never does a header make a line."""
    try:
        data = encode_post(b"/v1/x?y", "h:1", [("accept", "a"), (name, value)], body)
    except httpx.LocalProtocolError:
        return
    headers = [("host", "h:1"), ("content-length", str(len(body))), ("accept", "a"), (name, value)]
    sent = httpx.Request("POST", "http://h:1/v1/x?y", headers=headers, stream=httpx.ByteStream(body))
    assert data == encode_head(sent).data + body


@pytest.mark.parametrize(
    ("host", "name", "value"),
    [
        ("h", "Host", "other"),
        ("h", "content-length", "0"),
        ("h", "Transfer-Encoding", "chunked"),
        ("h", "upgrade", "x"),
        ("h", "x", "a\r\nb: c"),
        ("h", "x", "a\nb"),
        ("h", "x", "\u00e9"),
        ("h", "x y", "z"),
        ("h\r\nx: y", "a", "b"),
        ("h\u00e9", "a", "b"),
    ],
)
def test_a_whole_post_keeps_its_framing(host: str, name: str, value: str) -> None:
    """Nobody but this function sets host and length, and nothing that a header holds can end its line."""
    with pytest.raises(httpx.LocalProtocolError):
        encode_post(b"/", host, [(name, value)], b"")
