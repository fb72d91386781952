"""The real anthropic SDK in front of scripted bytes: what it makes of our answers, without a socket."""

from __future__ import annotations

import anthropic
import httpx2
from anthropic.types import Message, RawMessageStreamEvent
from pydantic import TypeAdapter

EVENTS: TypeAdapter[RawMessageStreamEvent] = TypeAdapter(RawMessageStreamEvent)


def client(body: bytes, *, status: int = 200, headers: tuple[tuple[str, str], ...] = ()) -> anthropic.Anthropic:
    """A client whose every request is answered with these bytes."""

    def answer(_: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(status, headers=list(headers), content=body)

    transport = httpx2.Client(transport=httpx2.MockTransport(answer))
    return anthropic.Anthropic(api_key="none", base_url="http://gateway.test", max_retries=0, http_client=transport)


def whole(body: bytes) -> Message:
    """A unary answer, parsed by the SDK and held against its types strictly."""
    Message.model_validate_json(body, strict=True)
    with client(body, headers=(("content-type", "application/json"),)) as sdk:
        return sdk.messages.create(model="m", max_tokens=1, messages=[{"role": "user", "content": "x"}])


def streamed(body: bytes) -> Message:
    """A streamed answer, accumulated by the SDK; each event is held against its types strictly."""
    for line in body.split(b"\n"):
        if line.startswith(b"data: "):
            EVENTS.validate_json(line[6:], strict=True)
    with client(body, headers=(("content-type", "text/event-stream; charset=utf-8"),)) as sdk:
        manager = sdk.messages.stream(model="m", max_tokens=1, messages=[{"role": "user", "content": "x"}])
        with manager as stream:
            return stream.get_final_message()
