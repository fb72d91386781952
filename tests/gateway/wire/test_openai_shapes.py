"""One frame of an upstream's answer: strict in types, ranges and UTF-8, deaf to what is not read."""

from __future__ import annotations

import pytest

from gateway.errors import UpstreamError, UpstreamMalformed
from gateway.wire.openai_shapes import frame


def test_what_is_read_and_what_is_not() -> None:
    """Keys that are not listed leave no trace."""
    read = frame(b'{"id":"canary","choices":[{"index":1,"delta":{"content":"x","mood":"canary"}}],"usage":null}')
    assert read.choices is not None
    assert read.choices[0].delta is not None
    assert (read.choices[0].index, read.choices[0].delta.content) == (1, "x")
    assert "canary" not in repr(read)


def test_of_a_key_given_twice_one_value_is_read() -> None:
    """The other one can reach nobody, since an answer is written anew."""
    read = frame('{"choices":[{"delta":{"content":"canary","content":"x"}}]}')
    assert "canary" not in repr(read)


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"canary",
        b"[]",
        b"{}",
        b"{}{}",
        b'{"choices":[]} canary',
        b'\xef\xbb\xbf{"choices":[]}',
        b'{"choices":{}}',
        b'{"choices":[{"index":true}]}',
        b'{"choices":[{"delta":{"content":1}}]}',
        b'{"choices":[{"delta":{"content":"\xff"}}]}',
        b'{"choices":[{"delta":{"content":"\\udc00"}}]}',
        b'{"choices":[{"delta":{"tool_calls":{}}}]}',
        b'{"choices":[],"usage":{"prompt_tokens":-1}}',
        b'{"choices":[],"usage":{"prompt_tokens":9007199254740993}}',
        b'{"choices":[],"usage":{"prompt_tokens_details":{"cached_tokens":"canary"}}}',
        b'{"choices":[],"usage":{"completion_tokens":1.5}}',
        b'{"x":' * 100_000,
    ],
)
def test_malformed_frames(raw: bytes) -> None:
    """Each is one typed fault that quotes nothing."""
    with pytest.raises(UpstreamMalformed) as caught:
        frame(raw)
    assert "canary" not in caught.value.message


@pytest.mark.parametrize("raw", ['{"error":"canary"}', '{"error":{},"choices":[]}', '{"error":false}'])
def test_an_error_frame_is_an_error(raw: str) -> None:
    """Whatever its shape, and without its words."""
    with pytest.raises(UpstreamError) as caught:
        frame(raw)
    assert not isinstance(caught.value, UpstreamMalformed)
    assert "canary" not in caught.value.message


def test_an_error_that_is_null_is_none() -> None:
    """Some servers write it in every frame."""
    assert frame('{"error":null,"choices":[]}').choices == []
