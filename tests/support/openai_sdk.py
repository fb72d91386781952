"""The real openai SDK in front of scripted bytes: what it makes of our answers, without a socket."""

from __future__ import annotations

import httpx2
import openai
from openai.lib.streaming.chat import ChatCompletionStreamState
from openai.types.chat import ChatCompletion, ChatCompletionChunk, ChatCompletionMessageParam


def client(body: bytes, *, status: int = 200, headers: tuple[tuple[str, str], ...] = ()) -> openai.OpenAI:
    """A client whose every request is answered with these bytes."""

    def answer(_: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(status, headers=list(headers), content=body)

    transport = httpx2.Client(transport=httpx2.MockTransport(answer))
    return openai.OpenAI(api_key="none", base_url="http://gateway.test/v1", max_retries=0, http_client=transport)


def whole(body: bytes) -> ChatCompletion:
    """A unary answer, parsed by the SDK and held against its types strictly."""
    ChatCompletion.model_validate_json(body, strict=True)
    with client(body, headers=(("content-type", "application/json"),)) as sdk:
        return sdk.chat.completions.create(model="m", messages=[{"role": "user", "content": "x"}])


def chunks(body: bytes) -> list[ChatCompletionChunk]:
    """The chunks of a streamed answer of the SDK, each held against its types strictly. An error frame raises openai.APIError."""
    head = (("content-type", "text/event-stream; charset=utf-8"),)
    prompt: list[ChatCompletionMessageParam] = [{"role": "user", "content": "x"}]
    with (
        client(body, headers=head) as sdk,
        sdk.chat.completions.create(model="m", messages=prompt, stream=True) as stream,
    ):
        read = list(stream)
    for line in body.split(b"\n"):
        if line.startswith(b"data: {"):
            ChatCompletionChunk.model_validate_json(line[6:], strict=True)
    return read


def streamed(body: bytes) -> ChatCompletion:
    """A streamed answer, accumulated by the SDK."""
    state: ChatCompletionStreamState[None] = ChatCompletionStreamState()
    for chunk in chunks(body):
        state.handle_chunk(chunk)
    return state.get_final_completion()
