from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from classifiers.frames import (
    HEAD_BYTES,
    MOST_REPLY_BYTES,
    Ask,
    Drop,
    Failed,
    Found,
    FrameError,
    Frames,
    Hello,
    Over,
    Part,
    Ping,
    Pong,
    Refused,
    Reply,
    Request,
    frame,
    pack,
    unpack,
)

REQUESTS: list[Request] = [Ask(1, (b"a", b""), 9, 0, 2), Drop(1), Ping()]
REPLIES: list[Reply] = [
    Hello("0" * 64),
    Refused("why"),
    Pong(7, True),
    Found(1, (2, 0), (40, 0)),
    Part(1, ((0, 5, (0.25, 1.0)), (3, 9, (0.0, 0.5)))),
    Over(1, 11),
    Failed(1, "invalid", "why"),
]


@pytest.mark.parametrize("cut", range(1, 60))
def test_messages_come_out_however_they_are_cut(cut: int) -> None:
    """Cut at every size, the same messages come out in the same order."""
    for frames, sent in ((Frames.requests(), REQUESTS), (Frames.replies(), REPLIES)):
        data = b"".join(frame(message) for message in sent)
        got: list[object] = []
        for start in range(0, len(data), cut):
            frames.feed(data[start : start + cut])
            got += frames.messages()
        assert got == sent


@given(st.binary(max_size=200))
def test_garbage_is_a_frame_error_or_waits(data: bytes) -> None:
    """Whatever bytes arrive, they are messages, an error of one kind, or the beginning of a frame."""
    frames = Frames.replies()
    frames.feed(data)
    try:
        for message in frames.messages():
            assert isinstance(message, Reply)
    except FrameError:
        pass


def test_a_frame_over_the_cap_is_refused_by_its_length() -> None:
    """The length alone is enough: nothing is buffered for it."""
    frames = Frames.replies()
    frames.feed((MOST_REPLY_BYTES + 1).to_bytes(HEAD_BYTES, "big"))
    with pytest.raises(FrameError, match="bytes"):
        list(frames.messages())


@pytest.mark.parametrize("message", [["ask", 1, [b"a"], 9, 0, 1], ["pong", "x"], ["part", 1, [[0, 1]]], ["none"], 3])
def test_a_reply_of_another_shape_is_refused(message: object) -> None:
    """What the gateway would say itself, wrong types and unknown tags are no replies."""
    body = msgspec.msgpack.encode(message)
    frames = Frames.replies()
    frames.feed(len(body).to_bytes(HEAD_BYTES, "big") + body)
    with pytest.raises(FrameError):
        list(frames.messages())


@given(st.text(st.characters(exclude_categories=())))
def test_any_text_travels(text: str) -> None:
    """Lone surrogates included, a text arrives as it was."""
    assert unpack(pack(text)) == text


def test_bytes_that_are_no_text() -> None:
    """A screener is never told bytes that are no text; if it is, it says so."""
    with pytest.raises(FrameError):
        unpack(b"\xff")
