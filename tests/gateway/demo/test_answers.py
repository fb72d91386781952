from __future__ import annotations

import itertools
from typing import Any

import msgspec

from gateway.demo import answers
from gateway.demo.answers import Call, Said, Tokens

EVERYTHING = Said(
    text=("Hello", " you"),
    reasoning=("think", "ing"),
    refusal=("no",),
    calls=(Call("look", ('{"a":', "1}")), Call("up", id="call_2")),
    signature="sig",
)


def events(raw: list[bytes]) -> list[Any]:
    """The data of each event, with its name checked where it has one."""
    found = []
    for event in raw:
        *name, data = event.removesuffix(b"\n\n").split(b"\n")
        body = data.removeprefix(b"data: ")
        found.append("DONE" if body == b"[DONE]" else msgspec.json.decode(body))
        if name:
            assert name == [b"event: " + found[-1]["type"].encode()]
    return found


def test_openai_unary() -> None:
    """A whole completion holds every channel of every choice, and usage."""
    body = msgspec.json.decode(answers.openai_unary(EVERYTHING, Said(("x",)), model="m", tokens=Tokens(3, 4)))
    first, second = body["choices"]
    assert first["message"]["content"] == "Hello you"
    assert first["message"]["reasoning_content"] == "thinking"
    assert first["message"]["refusal"] == "no"
    called = [call["function"] for call in first["message"]["tool_calls"]]
    assert called == [{"name": "look", "arguments": '{"a":1}'}, {"name": "up", "arguments": "{}"}]
    assert (first["finish_reason"], second["finish_reason"], second["index"]) == ("tool_calls", "stop", 1)
    assert second["message"] == {"role": "assistant", "content": "x"}
    assert body["usage"] == {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7}
    assert body["model"] == "m"


def test_openai_calls_alone_have_no_content() -> None:
    """A message of tool calls has null content, an empty answer an empty string."""
    bodies = [msgspec.json.decode(answers.openai_unary(said)) for said in (Said(calls=(Call("f"),)), Said())]
    assert [body["choices"][0]["message"]["content"] for body in bodies] == [None, ""]


def test_openai_events() -> None:
    """Each piece is one delta, choices take turns, and the stream ends with usage and DONE."""
    stream = events(answers.openai_events(EVERYTHING, Said(("x", "y"), finish="length"), tokens=Tokens()))
    assert stream[-1] == "DONE"
    assert stream[-2]["usage"]["total_tokens"] == 12
    deltas = [choice for event in stream[:-2] for choice in event["choices"]]
    assert [delta["index"] for delta in deltas[:8]] == [0, 1] * 4
    own = [delta["delta"] for delta in deltas if delta["index"] == 0]
    for key, said in (("content", "Hello you"), ("reasoning_content", "thinking"), ("refusal", "no")):
        assert "".join(delta.get(key) or "" for delta in own) == said
    calls = [delta["tool_calls"][0] for delta in own if "tool_calls" in delta]
    arguments = {
        index: "".join(call["function"]["arguments"] for call in group)
        for index, group in itertools.groupby(calls, key=lambda call: call["index"])
    }
    assert arguments == {0: '{"a":1}', 1: "{}"}
    reasons = {delta["index"]: delta["finish_reason"] for delta in deltas if delta["finish_reason"]}
    assert reasons == {0: "tool_calls", 1: "length"}


def test_openai_events_bare() -> None:
    """Usage and DONE can be left out."""
    stream = events(answers.openai_events(Said(("x",)), done=False))
    assert len(stream) == 3
    assert all("usage" not in event for event in stream)


def test_anthropic_unary() -> None:
    """A whole message has one block for thinking, text and each call."""
    body = msgspec.json.decode(answers.anthropic_unary(EVERYTHING, tokens=Tokens(3, 4)))
    assert [block["type"] for block in body["content"]] == ["thinking", "text", "tool_use", "tool_use"]
    assert body["content"][0] == {"type": "thinking", "thinking": "thinking", "signature": "sig"}
    assert body["content"][2]["input"] == {"a": 1}
    assert (body["stop_reason"], body["usage"]) == ("tool_use", {"input_tokens": 3, "output_tokens": 4})
    bare = msgspec.json.decode(answers.anthropic_unary(Said(reasoning=("x",), finish="refusal")))
    assert (bare["content"][0]["signature"], bare["stop_reason"]) == ("", "refusal")


def test_anthropic_events() -> None:
    """Every block starts, gives its deltas and stops; the message starts with the input's tokens and ends with its stop."""
    stream = events(answers.anthropic_events(EVERYTHING, tokens=Tokens(3, 4)))
    kinds = [event["type"] for event in stream]
    assert kinds[0] == "message_start"
    assert kinds[-2:] == ["message_delta", "message_stop"]
    assert kinds.count("content_block_start") == kinds.count("content_block_stop") == 4
    deltas = [event["delta"] for event in stream if event["type"] == "content_block_delta"]
    joined = dict.fromkeys(("thinking", "signature", "text", "partial_json"), "")
    for delta, key in itertools.product(deltas, joined):
        joined[key] += delta.get(key, "")
    assert joined == {"thinking": "thinking", "signature": "sig", "text": "Hello you", "partial_json": '{"a":1}{}'}
    assert stream[0]["message"]["usage"]["input_tokens"] == 3
    assert stream[-2]["usage"]["output_tokens"] == 4


def test_anthropic_events_cut() -> None:
    """A stream can be left without its stop, and thinking without a signature."""
    stream = events(answers.anthropic_events(Said(reasoning=("x",)), stop=False))
    assert stream[-1]["type"] == "message_delta"
    assert not [event for event in stream if event.get("delta", {}).get("type") == "signature_delta"]
