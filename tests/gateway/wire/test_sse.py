from __future__ import annotations

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from support.sse_model import model

from gateway.errors import UpstreamMalformed
from gateway.wire.sse import Event, Splitter, encode


def split(chunks: list[bytes], max_event: int = 1 << 20) -> tuple[list[Event], bool]:
    splitter = Splitter(max_event)
    events = [event for chunk in chunks for event in splitter.feed(chunk)]
    events += splitter.end()
    return events, splitter.pending


def crumbs(stream: bytes) -> list[bytes]:
    return [stream[place : place + 1] for place in range(len(stream))]


TOKENS = [
    "data", "event", "id", "retry", ":", ": ", " ", "x", "\n", "\n", "\r", "\r\n", "\n\n", "data:", "data: y",
    "\ufeff", "\u2028", "\u0085", "\x0b", "\x0c", "\x1c", "\x00", "é", "🙂", "event: ping", "unknown: z", ":comment",
]  # fmt: skip
streams = st.lists(st.sampled_from(TOKENS), max_size=40).map(lambda parts: "".join(parts).encode())


@given(stream=streams, data=st.data())
@settings(max_examples=400, deadline=None)
@example(stream=b"\xef\xbb\xbfdata:a\r\n\r\ndata: b\r\rdata\n\n", data=None)
def test_agrees_with_the_model_for_every_cut(stream: bytes, data: st.DataObject | None) -> None:
    """However a stream is cut, the events and the pending flag are those of an independent model of the standard."""
    wanted = model(stream)
    assert split([stream]) == wanted
    assert split(crumbs(stream)) == wanted
    if data is not None:
        cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=6)))
        chunks = [stream[a:b] for a, b in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
        assert split(chunks) == wanted


def test_every_two_way_cut_of_a_rich_stream() -> None:
    """A stream with BOM, all line ends, comments and wide characters splits alike at each of its bytes."""
    stream = (
        "\ufeff: hi\r\nevent: a\r\ndata: é\r\ndata:🙂\r\n\r\nid: 1\nretry: 5\ndata\n\ndata:  two\r\rdata: cut".encode()
    )
    wanted = ([Event("a", "é\n🙂"), Event("", ""), Event("", " two")], True)
    for place in range(len(stream) + 1):
        assert split([stream[:place], stream[place:]]) == wanted


@pytest.mark.parametrize("end", ["\u2028", "\u2029", "\u0085", "\x0b", "\x0c", "\x1c"])
def test_only_lf_and_cr_end_a_line(end: str) -> None:
    """Characters that Python calls line ends stay inside the data."""
    assert split([f"data: a{end}data: b\n\n".encode()]) == ([Event("", f"a{end}data: b")], False)


def test_bom_is_dropped_once_and_only_at_the_start() -> None:
    """A second byte order mark makes an unknown field, so its data is not data."""
    assert split(["\ufeff\ufeffdata: x\n\n".encode()]) == ([], False)
    assert split(["\ufeffdata: x\n\n\ufeffdata: y\n\n".encode()]) == ([Event("", "x")], False)


@pytest.mark.parametrize("field", [b"data: ", b"event: a\ndata: x\nevent: "])
@pytest.mark.parametrize("bad", [b"\xff", b"\xc0\xaf", b"\xed\xa0\x80", b"\xe2\x82\n"])
def test_invalid_utf8_is_malformed(field: bytes, bad: bytes) -> None:
    """Bytes that are not UTF-8 in a field that is used are an error, never replaced."""
    with pytest.raises(UpstreamMalformed):
        split([field + bad + b"\n\n" if field == b"data: " else field + bad + b"\ndata: y\n\n"])


def test_an_event_may_be_as_large_as_the_limit_and_no_larger() -> None:
    """The limit is exact: an event of max_event bytes passes, one byte more does not, whole or in crumbs."""
    stream = b"data: 123456\n\n"
    for chunks in ([stream], crumbs(stream)):
        assert split(chunks, len(stream))[0] == [Event("", "123456")]
        with pytest.raises(UpstreamMalformed):
            split(chunks, len(stream) - 1)


@pytest.mark.parametrize("flood", [b": c\n", b":\n\n", b"\n", b"\r\n", b"id: 1\n", b"data: x\n", b"x", b"event: e\n\n"])
@pytest.mark.parametrize("chunk", [1, 7, 1000])
def test_a_flood_without_events_ends(flood: bytes, chunk: int) -> None:
    """Comments, blank lines, ignored fields and endless lines are cut off after max_event bytes."""
    stream = flood * 600
    chunks = [stream[place : place + chunk] for place in range(0, len(stream), chunk)]
    with pytest.raises(UpstreamMalformed):
        split(chunks, 256)


def test_the_limit_counts_from_event_to_event() -> None:
    """A long stream of small events with a comment between them never runs into the limit."""
    events, pending = split([b": keep-alive\n\ndata: x\n\n"] * 1000, 64)
    assert (len(events), pending) == (1000, False)


def test_work_in_crumbs_is_linear() -> None:
    """A long line fed byte by byte is kept whole and costs one step a byte (a quadratic splitter would not end in time)."""
    splitter = Splitter(1 << 20)
    for _ in range(400_000):
        splitter.feed(b"x")
    assert splitter.pending
    assert len(splitter._partial) == 400_000


def test_an_empty_chunk_between_cr_and_lf_changes_nothing() -> None:
    """CRLF stays one line end when an empty chunk lies between its halves."""
    assert split([b"data: a\r", b"", b"\ndata: b\r", b"\n\r", b"\n"]) == ([Event("", "a\nb")], False)


@given(data=st.text().filter(lambda text: "\r" not in text), event=st.text(st.characters(blacklist_characters="\r\n")))
def test_encode_is_the_inverse_of_the_splitter(data: str, event: str) -> None:
    """What is encoded is what a conforming reader sees."""
    try:
        raw = encode(data.encode(), event)
    except UnicodeEncodeError:
        return
    assert split([raw]) == ([Event(event, data)], False)


@pytest.mark.parametrize(("data", "event"), [(b"a\rb", ""), (b"a", "x\n"), (b"a", "x\ry")])
def test_encode_refuses_what_would_break_the_framing(data: bytes, event: str) -> None:
    """A carriage return in data or a line end in the type is an error, never a second line."""
    with pytest.raises(ValueError, match="framing"):
        encode(data, event)


class Slow(Splitter):
    """Without the short way for an event that comes alone."""

    def _alone(self, data: bytes) -> bool:
        return False


ALONE = st.sampled_from(
    [
        b"data: {}\n\n",
        b"data: \n\n",
        b"data: a\rb\n\n",
        b"data: a\ndata: b\n\n",
        b"data: \xff\n\n",
        b"data: a\n\ndata: b\n\n",
        b"data:a\n\n",
        b"event: x\n",
        b"data: long long long\n\n",
        b": c\n",
        b"da",
        b"\n",
        b"\r",
        b"\xef\xbb\xbf",
    ]
)


@settings(max_examples=500)
@given(st.lists(ALONE, max_size=8), st.integers(1, 40))
def test_the_short_way_for_one_event_makes_no_difference(chunks: list[bytes], most: int) -> None:
    """Whatever comes before or behind it, and whatever the bound: the same events, the same rest, the same refusals."""

    def told(splitter: Splitter) -> list[object]:
        found: list[object] = []
        try:
            for chunk in chunks:
                found.append((splitter.feed(chunk), splitter.pending))
        except UpstreamMalformed as error:
            found.append(error.message)
        return found

    assert told(Splitter(most)) == told(Slow(most))
