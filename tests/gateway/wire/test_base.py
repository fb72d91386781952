"""The headers of an upstream request."""

from __future__ import annotations

import pytest

from gateway.wire.base import upstream_headers
from gateway.wire.dialects import dialects

OPENAI, ANTHROPIC, COUNT = dialects()


@pytest.mark.parametrize(("stream", "accept"), [(True, "text/event-stream"), (False, "application/json")])
def test_the_headers_are_ours_alone(stream: bool, accept: str) -> None:
    """Type, what is accepted, no coding, our id, then what the operator configured: nothing of the client's has a way in."""
    headers = upstream_headers(OPENAI, stream=stream, request_id="r-1", extra={"authorization": "Bearer k"})
    assert headers == (
        ("content-type", "application/json"),
        ("accept", accept),
        ("accept-encoding", "identity"),
        ("x-request-id", "r-1"),
        ("authorization", "Bearer k"),
    )


def test_anthropic_servers_are_told_the_version() -> None:
    """Their API requires the header."""
    for dialect in (ANTHROPIC, COUNT):
        headers = upstream_headers(dialect, stream=False, request_id="r-1", extra={})
        assert headers[-1] == ("anthropic-version", "2023-06-01")
