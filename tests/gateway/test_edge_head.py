"""The byte-level head check: what is admitted, what is refused, and that it never crashes."""

from __future__ import annotations

import contextlib
import itertools

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gateway.edge_head import Chunks, HeadRefused, bare_line_end, check_head, hosts_of

HOST = b"Host: model.test\r\n"


def head(*lines: bytes, first: bytes = b"POST /v1/messages HTTP/1.1", host: bytes = HOST) -> bytes:
    """A head with these header lines."""
    return first + b"\r\n" + host + b"".join(line + b"\r\n" for line in lines) + b"\r\n"


REFUSED = [
    ("bad_request_line", head(first=b"POST http://evil/ HTTP/1.1")),
    ("bad_request_line", head(first=b"CONNECT evil:80 HTTP/1.1")),
    ("bad_request_line", head(first=b"PRI * HTTP/2.0")),
    ("bad_request_line", head(first=b"GET /")),
    ("bad_request_line", head(first=b"POST /v1/messages HTTP/2.0")),
    ("bad_request_line", head(first=b"POST  /v1/messages HTTP/1.1")),
    ("bad_request_line", head(first=b"POST /v1/messages#x HTTP/1.1")),
    ("bad_request_line", head(first=b"POST /v1/m\x00 HTTP/1.1")),
    ("bad_request_line", head(first=b"post /v1/messages HTTP/1.1")),
    ("bad_request_line", head(first=b"POST /" + b"a" * 9000 + b" HTTP/1.1")),
    ("too_many_headers", head(*[b"X-%d: 1" % number for number in range(120)])),
    ("bad_header_name", head(b" folded: x")),
    ("bad_header_name", head(b"\tfolded")),
    ("bad_header_name", head(b"Name : x")),
    ("bad_header_name", head(b"no colon")),
    ("bad_header_name", head(b": x")),
    ("bad_header_name", head(b"N\xc3\xa4me: x")),
    ("bad_header_value", head(b"X: a\x01b")),
    ("bad_header_value", head(b"X: a\x00b")),
    ("bad_header_value", head(b"X: a\x7fb")),
    ("refused_header", head(b"Upgrade: h2c")),
    ("refused_header", head(b"Trailer: X-User")),
    ("duplicate_header", head(b"Authorization: a", b"authorization: b")),
    ("duplicate_header", head(b"Content-Type: application/json", b"Content-Type: text/plain")),
    ("duplicate_header", head(b"Content-Length: 3", b"Content-Length: 3")),
    ("duplicate_header", head(b"Host: other.test")),
    ("bad_host", head(host=b"")),
    ("bad_host", head(host=b"Host:\r\n")),
    ("bad_host", head(host=b"Host: a b\r\n")),
    ("bad_host", head(host=b"Host: a/b\r\n")),
    ("bad_host", head(host=b"Host: user@a\r\n")),
    ("conflicting_framing", head(b"Content-Length: 3", b"Transfer-Encoding: chunked")),
    ("conflicting_framing", head(b"Transfer-Encoding: chunked", first=b"POST /v1/messages HTTP/1.0")),
    ("bad_transfer_encoding", head(b"Transfer-Encoding: gzip, chunked")),
    ("bad_transfer_encoding", head(b"Transfer-Encoding: xchunked")),
    ("bad_transfer_encoding", head(b"Transfer-Encoding: Chunked")),
    ("bad_content_length", head(b"Content-Length: +5")),
    ("bad_content_length", head(b"Content-Length: 0x5")),
    ("bad_content_length", head(b"Content-Length: 5, 5")),
    ("bad_content_length", head(b"Content-Length: 05")),
    ("bad_content_length", head(b"Content-Length: -1")),
    ("bad_content_length", head(b"Content-Length: ")),
    ("unexpected_body", head(b"Content-Length: 5", first=b"GET /v1/models HTTP/1.1")),
    ("unexpected_body", head(b"Transfer-Encoding: chunked", first=b"GET /v1/models HTTP/1.1")),
    ("bad_expectation", head(b"Expect: 200-ok")),
    ("bad_connection", head(b"Connection: close, X-ASL-Control")),
]


@pytest.mark.parametrize(("code", "raw"), REFUSED, ids=lambda value: value if isinstance(value, str) else "")
def test_what_parsers_disagree_about_is_refused(code: str, raw: bytes) -> None:
    """Each bad head is refused under its own name."""
    with pytest.raises(HeadRefused) as refusal:
        check_head(raw, frozenset())
    assert refusal.value.code == code


def test_a_good_head_passes_byte_for_byte() -> None:
    """An ordinary head is fed to the parser as it came."""
    raw = head(
        b"Content-Length: 5", b"Content-Type: application/json", b"Connection: keep-alive", b"Expect: 100-continue"
    )
    admitted = check_head(raw, frozenset())
    assert (admitted.data, admitted.length, admitted.chunked) == (raw, 5, False)
    assert check_head(head(b"Transfer-Encoding: chunked"), frozenset()).chunked
    assert check_head(head(host=b"Host: [::1]:8080\r\n", first=b"GET / HTTP/1.0"), frozenset()).length == 0


IDENTITY = [
    b"X-Forwarded-For: 1.2.3.4",
    b"X_Trusted_User: admin",
    b"X-Trusted-User: admin",
    b"Forwarded: for=1.2.3.4",
    b"X-Real-IP: 1.2.3.4",
    b"X-ASL-Level: 1",
    b"x-request-id: mine",
]


@pytest.mark.parametrize("line", IDENTITY)
def test_identity_that_a_client_claims_is_removed(line: bytes) -> None:
    """No header by which a proxy would name a client reaches the application, in either spelling."""
    admitted = check_head(head(line, b"Content-Length: 5"), frozenset())
    assert admitted.data == head(b"Content-Length: 5")


def test_only_listed_hosts_are_served_when_hosts_are_listed() -> None:
    """A Host that is not listed is misdirected."""
    hosts = hosts_of(["Model.test"])
    assert check_head(head(), hosts)
    with pytest.raises(HeadRefused) as refusal:
        check_head(head(host=b"Host: other.test\r\n"), hosts)
    assert refusal.value.status == 421


@given(st.binary(max_size=200))
@example(b"")
@example(b"\r\n\r\n")
def test_no_bytes_crash_the_check(data: bytes) -> None:
    """Whatever comes is admitted or refused, never an unexpected exception."""
    with contextlib.suppress(HeadRefused):
        check_head(data + b"\r\n\r\n", frozenset())


def test_bare_line_ends_are_seen() -> None:
    """A lone CR or LF is not a line end."""
    assert not bare_line_end(b"a\r\nb\r\n\r\n")
    assert bare_line_end(b"a\nb\r\n")
    assert bare_line_end(b"a\rb\r\n")


def follow(data: bytes, cuts: list[int]) -> tuple[int, bool]:
    """Feed a chunked body in pieces; bytes taken and whether it ended."""
    chunks, taken = Chunks(), 0
    bounds = sorted({0, *(cut for cut in cuts if cut < len(data)), len(data)})
    for start, end in itertools.pairwise(bounds):
        if chunks.done:
            break
        taken += chunks.take(data[start:end])
    return taken, chunks.done


@given(
    st.lists(st.binary(min_size=1, max_size=30), max_size=5),
    st.binary(max_size=10),
    st.lists(st.integers(0, 200), max_size=8),
)
def test_a_chunked_body_is_followed_to_its_exact_end(parts: list[bytes], after: bytes, cuts: list[int]) -> None:
    """However it is cut, exactly the body's bytes are taken and what follows is left."""
    body = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in parts) + b"0\r\n\r\n"
    assert follow(body + after, cuts)[1]
    chunks = Chunks()
    assert chunks.take(body + after) == len(body)
    assert chunks.done


def take_crumbs(body: bytes) -> None:
    """Follow a body byte by byte."""
    chunks = Chunks()
    for at in range(len(body)):
        chunks.take(body[at : at + 1])


@pytest.mark.parametrize(
    "body",
    [b"5;ext=1\r\nhello\r\n", b"5\nhello", b"+5\r\n", b"0x5\r\n", b"fffffffff\r\n", b" 5\r\n", b"\r\n", b"5\r\nhelloXY", b"5\r\nhello\rY",
     b"0\r\nX-Trusted-User: admin\r\n\r\n", b"123456789012"],
)  # fmt: skip
def test_extensions_trailers_and_odd_sizes_are_refused(body: bytes) -> None:
    """Nothing but plain chunks passes, whole or in crumbs."""
    with pytest.raises(HeadRefused):
        Chunks().take(body)
    with pytest.raises(HeadRefused):
        take_crumbs(body)
