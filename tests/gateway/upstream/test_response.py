from __future__ import annotations

from collections.abc import Iterable

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.upstream.response import HEAD_BYTES_MAX, HEADERS_MAX, ResponseReader

OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"

ACCEPTED = {
    "length": (OK + b"Content-Length: 5\r\n\r\nhello", b"hello", True),
    "empty": (OK + b"Content-Length: 0\r\n\r\n", b"", True),
    "no_reason": (b"HTTP/1.1 200\r\nContent-Length: 2\r\n\r\nhi", b"hi", True),
    "chunked": (CHUNKED + b"2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n", b"hello", True),
    "chunked_with_case_and_space": (OK + b"transfer-encoding: \tChunked \r\n\r\n1\r\nx\r\n0\r\n\r\n", b"x", True),
    "extension_and_trailer": (CHUNKED + b"2;a=b\r\nhi\r\n0\r\nX-T: 1\r\n\r\n", b"hi", True),
    "close": (OK + b"Connection: close\r\nContent-Length: 2\r\n\r\nhi", b"hi", False),
    "http10": (b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nhi", b"hi", False),
    "http10_keep_alive": (b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nhi", b"hi", True),
    "no_content": (b"HTTP/1.1 204 No Content\r\n\r\n", b"", True),
    "not_modified": (b"HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n", b"", True),
    "interim": (
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 102 P\r\nA: b\r\n\r\n" + OK + b"Content-Length: 2\r\n\r\nhi",
        b"hi",
        True,
    ),
    "upgrade_offered": (OK + b"Upgrade: h2c\r\nConnection: upgrade\r\nContent-Length: 2\r\n\r\nhi", b"hi", True),
}

REFUSED = {
    "not_http": b"<html>\r\n\r\n",
    "icy": b"ICY 200 OK\r\nContent-Length: 2\r\n\r\nhi",
    "http2": b"HTTP/2.0 200 OK\r\nContent-Length: 2\r\n\r\nhi",
    "http09": b"HTTP/0.9 200 OK\r\nContent-Length: 2\r\n\r\nhi",
    "status_too_low": b"HTTP/1.1 099 OK\r\nContent-Length: 2\r\n\r\nhi",
    "status_too_high": b"HTTP/1.1 600 OK\r\nContent-Length: 2\r\n\r\nhi",
    "status_of_four": b"HTTP/1.1 2000 OK\r\nContent-Length: 2\r\n\r\nhi",
    "switch": b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
    "switch_without_upgrade": b"HTTP/1.1 101 Switching\r\n\r\n",
    "interim_with_length": b"HTTP/1.1 102 P\r\nContent-Length: 3\r\n\r\nabc" + OK + b"Content-Length: 2\r\n\r\nhi",
    "interim_with_coding": b"HTTP/1.1 103 P\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "lengths_differ": OK + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\nhix",
    "lengths_repeat": OK + b"Content-Length: 2\r\nContent-Length: 2\r\n\r\nhi",
    "length_list": OK + b"Content-Length: 2, 2\r\n\r\nhi",
    "length_signed": OK + b"Content-Length: +2\r\n\r\nhi",
    "length_negative": OK + b"Content-Length: -2\r\n\r\nhi",
    "length_hex": OK + b"Content-Length: 0x2\r\n\r\nhi",
    "length_empty": OK + b"Content-Length:\r\n\r\nhi",
    "length_huge": OK + b"Content-Length: 99999999999999999999\r\n\r\nhi",
    "length_then_coding": OK + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n",
    "coding_then_length": OK + b"Transfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\n2\r\nhi\r\n0\r\n\r\n",
    "coding_twice": OK + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n",
    "coding_gzip": OK + b"Transfer-Encoding: gzip, chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n",
    "coding_identity": OK + b"Transfer-Encoding: identity\r\n\r\nhi",
    "coding_after_chunked": OK + b"Transfer-Encoding: chunked, gzip\r\n\r\nhi",
    "coding_lookalike": OK + b"Transfer-Encoding: xchunked\r\n\r\nhi",
    "coding_in_http10": b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n",
    "folded": OK + b"X: a\r\n b\r\nContent-Length: 2\r\n\r\nhi",
    "bare_lf": OK + b"X: a\nContent-Length: 2\r\n\r\nhi",
    "all_lf": b"HTTP/1.1 200 OK\nContent-Length: 2\n\nhi",
    "bare_cr": OK + b"X: a\rb\r\nContent-Length: 2\r\n\r\nhi",
    "nul": OK + b"X: a\0b\r\nContent-Length: 2\r\n\r\nhi",
    "control": OK + b"X: a\x01b\r\nContent-Length: 2\r\n\r\nhi",
    "space_before_colon": OK + b"X : a\r\nContent-Length: 2\r\n\r\nhi",
    "no_name": OK + b": a\r\nContent-Length: 2\r\n\r\nhi",
    "chunk_size_hex_prefix": CHUNKED + b"0x2\r\nhi\r\n0\r\n\r\n",
    "chunk_size_overflow": CHUNKED + b"ffffffffffffffff1\r\nhi\r\n0\r\n\r\n",
    "chunk_longer_than_said": CHUNKED + b"2\r\nhiXX\r\n0\r\n\r\n",
    "chunk_lf": CHUNKED + b"2\nhi\r\n0\r\n\r\n",
    "trailer_with_length": CHUNKED + b"2\r\nhi\r\n0\r\nContent-Length: 1\r\n\r\n",
    "too_many_headers": OK + b"X: y\r\n" * (HEADERS_MAX + 1) + b"Content-Length: 2\r\n\r\nhi",
    "too_many_over_interims": b"HTTP/1.1 103 E\r\nA: b\r\n\r\n" * (HEADERS_MAX + 1) + OK + b"\r\n",
    "too_many_trailers": CHUNKED + b"2\r\nhi\r\n0\r\n" + b"X: y\r\n" * (HEADERS_MAX + 1) + b"\r\n",
    "head_too_large": OK + b"X: " + b"y" * HEAD_BYTES_MAX + b"\r\nContent-Length: 2\r\n\r\nhi",
}


def fed(pieces: Iterable[bytes]) -> ResponseReader:
    """A reader after these pieces."""
    reader = ResponseReader()
    for piece in pieces:
        reader.feed(piece)
    return reader


def refused_after(reader: ResponseReader, pieces: list[bytes]) -> int | None:
    """How many pieces went in before one was refused; None where all were taken."""
    for count, piece in enumerate(pieces):
        try:
            reader.feed(piece)
        except httpx.RemoteProtocolError:
            return count
    return None


def bytewise(wire: bytes) -> list[bytes]:
    """The smallest possible cuts."""
    return [wire[at : at + 1] for at in range(len(wire))]


@pytest.mark.parametrize("case", ACCEPTED)
def test_accepted_at_every_cut(case: str) -> None:
    """A good response reads the same in one piece, in two cut anywhere, and byte by byte."""
    wire, body, keep_alive = ACCEPTED[case]
    cuts = [[wire[:at], wire[at:]] for at in range(len(wire) + 1)]
    for pieces in (*cuts, bytewise(wire)):
        reader = fed(piece for piece in pieces if piece)
        assert (reader.take(), reader.complete, reader.keep_alive, reader.tainted) == (body, True, keep_alive, False)
        assert reader.status in {200, 204, 304}
        assert not {b"a", b"link", b"x-t"} & {name.lower() for name, _ in reader.headers}


@pytest.mark.parametrize("case", REFUSED)
def test_refused_at_every_cut(case: str) -> None:
    """What is ambiguous, oversized or not HTTP/1.x is refused however it is cut, and never counts as complete."""
    wire = REFUSED[case]
    step = max(1, len(wire) // 50)
    cuts = [[wire[:at], wire[at:]] for at in range(1, len(wire), step)]
    for pieces in ([wire], *cuts, bytewise(wire)):
        reader = ResponseReader()
        assert refused_after(reader, pieces) is not None
        assert not reader.complete
        assert not reader.end()


def test_messages_hold_nothing_of_the_upstream() -> None:
    """The text of a fault is ours or the parser's constant, never the server's bytes."""
    with pytest.raises(httpx.RemoteProtocolError) as fault:
        fed([b"HTTP/1.1 200 amber kestrel protocol\r\namber kestrel protocol\r\n\r\n"])
    assert "amber" not in str(fault.value)


@pytest.mark.parametrize("case", ["length", "chunked"])
@pytest.mark.parametrize("extra", [b"HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\nforeign", b"junk", b"\0"])
def test_bytes_behind_a_response(case: str, extra: bytes) -> None:
    """What follows a complete response is not delivered and taints the connection, in the same piece or in a later one."""
    wire, body, _ = ACCEPTED[case]
    for pieces in ([wire + extra], [wire, extra], bytewise(wire + extra)):
        reader = fed(pieces)
        assert (reader.take(), reader.complete, reader.tainted, reader.status) == (body, True, True, 200)
        assert len(reader.headers) == 1


def test_data_after_close_taints() -> None:
    """Bytes after a response that announced the end of the connection change nothing about it."""
    reader = fed([ACCEPTED["close"][0] + b"more"])
    assert (reader.take(), reader.tainted, reader.keep_alive) == (b"hi", True, False)


def test_body_that_ends_with_the_connection() -> None:
    """Without framing, the body is over when the peer closes; such a connection is never kept."""
    reader = fed([OK + b"\r\nab", b"cd"])
    assert not reader.complete
    assert reader.end()
    assert (reader.take(), reader.complete, reader.keep_alive) == (b"abcd", True, False)


@pytest.mark.parametrize("wire", [b"", OK, OK + b"Content-Length: 3\r\n\r\nab", CHUNKED + b"2\r\nhi\r\n", CHUNKED])
def test_cut_short(wire: bytes) -> None:
    """The end of the connection is no proper end of a framed body or of a head."""
    reader = fed([wire] if wire else [])
    assert not reader.end()
    assert not reader.complete


@pytest.mark.parametrize(
    "prefix", [b"", OK + b"X: ", CHUNKED + b"2;", CHUNKED + b"0\r\nX: ", b"HTTP/1.1 103 E\r\n\r\n" * 10]
)
def test_nothing_but_body_grows(prefix: bytes) -> None:
    """Heads, chunk extensions, trailers and interim responses without end are cut off at the cap."""
    filler = (
        b"HTTP/1.1 103 E\r\n\r\n" * 50
        if prefix.startswith(b"HTTP/1.1 103")
        else b"\r\n" * 500
        if not prefix
        else b"y" * 1000
    )
    pieces = [piece for piece in (prefix, *[filler] * 200) if piece]
    count = refused_after(ResponseReader(), pieces)
    assert count is not None
    assert sum(map(len, pieces[:count])) <= HEAD_BYTES_MAX


def test_small_chunks_are_not_mistaken_for_a_flood() -> None:
    """The cap counts bytes since the last byte of body, so a long stream of tiny chunks passes."""
    reader = fed([CHUNKED, *[b"1\r\nx\r\n"] * 30_000, b"0\r\n\r\n"])
    assert reader.complete
    assert len(reader.take()) == 30_000


@given(st.sampled_from(sorted(ACCEPTED)), st.data())
def test_mutations_never_do_harm(case: str, data: st.DataObject) -> None:
    """However a response is damaged and cut, reading gives bytes or one httpx error, and the same in one piece as in many."""
    wire = bytearray(ACCEPTED[case][0])
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(wire) - 1))
        wire[at : at + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=3))
        if not wire:
            return

    def outcome(pieces: list[bytes]) -> tuple[object, ...]:
        reader = ResponseReader()
        try:
            for piece in pieces:
                reader.feed(piece)
        except httpx.RemoteProtocolError:
            return ("refused",)
        return reader.status, reader.headers, reader.take(), reader.complete, reader.end()

    assert outcome([bytes(wire)]) == outcome(bytewise(bytes(wire)))
