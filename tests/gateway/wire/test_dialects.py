"""The list of dialects."""

from __future__ import annotations

import pytest

from gateway.errors import BadRequest
from gateway.wire.base import Dialect, WireLimits
from gateway.wire.dialects import dialects


def test_openai_comes_first() -> None:
    """Faults without a dialect are told in the shape of the first, so its place is part of the contract."""
    assert [(dialect.id, dialect.path) for dialect in dialects()] == [
        ("openai.chat", "/v1/chat/completions"),
        ("anthropic.messages", "/v1/messages"),
        ("anthropic.count_tokens", "/v1/messages/count_tokens"),
    ]


@pytest.mark.parametrize("dialect", dialects(), ids=lambda dialect: dialect.id)
@pytest.mark.parametrize("body", [b"", b"\xff", b"[]", b"{}", b'{"a":1,"a":1}', b"[" * 100_000, b'{"messages":NaN}'])
def test_every_dialect_refuses_what_is_no_request(dialect: Dialect, body: bytes) -> None:
    """All of them parse strictly: a typed 4xx, never another exception."""
    with pytest.raises(BadRequest):
        dialect.parse(body, WireLimits())
