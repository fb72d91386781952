"""Requests of OpenAI chat: nothing unscreened gets through, and every top-level field is treated as the table says."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openai.types.chat.completion_create_params import CompletionCreateParams
from pydantic import TypeAdapter
from support.openai_proof import unproven

from gateway.errors import BadRequest, TooLarge
from gateway.exchange import Exchange, Feature, Origin, Use
from gateway.wire import strict
from gateway.wire.base import WireLimits
from gateway.wire.openai_request import DROPPED, FIELDS, GRAMMARS, parse
from gateway.wire.treatment import Treatment

LIMITS = WireLimits()
PARAMS: TypeAdapter[Any] = TypeAdapter(CompletionCreateParams)
CANARY = "amber kestrel protocol"

# Everything that the dialect takes and sends on, once, and valid by the SDK's own types.
FULL: dict[str, Any] = {
    "model": "demo",
    "messages": [
        {"role": "system", "content": [{"type": "text", "text": "s1"}]},
        {"role": "developer", "content": "d1", "name": "d2"},
        {"role": "user", "content": "u1"},
        {
            "role": "assistant",
            "content": [{"type": "text", "text": "a1"}, {"type": "refusal", "refusal": "a2"}],
            "refusal": "a3",
            "tool_calls": [
                {"id": "call_1", "type": "function", "function": {"name": "n1", "arguments": '{"k1": ["v1", 2]}'}}
            ],
        },
        {"role": "tool", "tool_call_id": "call_1", "content": [{"type": "text", "text": "r1"}]},
        {"role": "assistant", "function_call": {"name": "n3", "arguments": "{}"}, "content": None},
        {"role": "function", "name": "n3", "content": "r2"},
        {
            "role": "user",
            "name": "u2",
            "content": [
                {"type": "text", "text": "u3"},
                {"type": "image_url", "image_url": {"url": "data:image/png;base64,eA==", "detail": "low"}},
                {"type": "input_audio", "input_audio": {"data": "eA==", "format": "wav"}},
                {"type": "file", "file": {"filename": "f1", "file_data": "data:application/pdf;base64,eA=="}},
            ],
        },
        {"role": "assistant", "content": "p1"},
    ],
    "tools": [
        {
            "type": "function",
            "function": {
                "name": "n2",
                "description": "d5",
                "parameters": {"type": "object", "properties": {"k2": {"enum": ["v2", 1, None]}}},
                "strict": False,
            },
        }
    ],
    "tool_choice": {"type": "function", "function": {"name": "n2"}},
    "response_format": {
        "type": "json_schema",
        "json_schema": {"name": "n4", "description": "d6", "schema": {"title": "o1"}, "strict": True},
    },
    "stop": ["q1"],
    "user": "m1",
    "safety_identifier": "m2",
    "metadata": {"k3": "m3"},
    "n": 2,
    "max_tokens": 5,
    "max_completion_tokens": 6,
    "temperature": 1,
    "top_p": 0.5,
    "seed": 7,
    "presence_penalty": 0,
    "frequency_penalty": -1.5,
    "logit_bias": {"50256": -100},
    "parallel_tool_calls": True,
    "reasoning_effort": "high",
    "verbosity": "low",
    "service_tier": "auto",
    "modalities": ["text"],
    "stream": True,
    "stream_options": {"include_usage": True},
}
# What model servers take beyond the SDK's types.
SERVERS = {"top_k": 5, "min_p": 0.1, "repetition_penalty": 1.1, "min_tokens": 0, "ignore_eos": True}


def read(body: dict[str, Any], limits: WireLimits = LIMITS) -> Exchange:
    return parse(json.dumps(body, ensure_ascii=False).encode(), limits)


def attempt(body: dict[str, Any]) -> tuple[Exchange | None, str]:
    """The exchange, or the message of the 400."""
    try:
        return read(body), ""
    except BadRequest as error:
        return None, error.message


def asking(**more: Any) -> Exchange:
    return read({"model": "m", "messages": [{"role": "user", "content": "x"}], **more})


def test_the_fullest_request_is_one_of_the_sdk() -> None:
    """The example is valid by the SDK's own types, and comes through unchanged but for its model."""
    PARAMS.validate_python(FULL)
    assert {"model": "demo", **read(FULL).body} == FULL
    assert read({**FULL, **SERVERS}).body.items() >= SERVERS.items()


def test_every_string_of_the_fullest_request_is_proven() -> None:
    """Each string of the vetted tree is a leaf, an enumerated value or a checked id, and each leaf but decoded arguments stands in it."""
    exchange = read(FULL)
    texts = {leaf.text for leaf in exchange.leaves}
    assert unproven(exchange.body, texts) == []
    every = "\n".join(texts)
    assert all(mark in every for mark in re.findall(r'"([a-z]\d)"', json.dumps(FULL)))
    plain = [leaf for leaf in exchange.leaves if not leaf.path.endswith("~decoded")]
    assert all(json.dumps(leaf.text) in json.dumps(exchange.body) for leaf in plain)
    assert len({leaf.path for leaf in exchange.leaves}) == len(exchange.leaves)


def test_uses_of_the_fullest_request() -> None:
    """Media, prefill and logit bias are reported with their paths."""
    assert read(FULL).uses == (
        Use(Feature.PREFILL, "messages[8]"),
        Use(Feature.MEDIA, "messages[7].content[1].image_url.url"),
        Use(Feature.MEDIA, "messages[7].content[2].input_audio.data"),
        Use(Feature.MEDIA, "messages[7].content[3].file.file_data"),
        Use(Feature.LOGIT_BIAS, "logit_bias"),
    )


def test_what_is_forwarded_reads_as_the_same_leaves() -> None:
    """Our serialisation, parsed again, gives the same leaves, uses and body: what was screened is what is sent."""
    exchange = read(FULL)
    again = parse(strict.dumps({"model": "canonical", **exchange.body}), LIMITS)
    assert (again.leaves, again.uses, again.body) == (exchange.leaves, exchange.uses, exchange.body)


def places(tree: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every place of a tree."""
    found = [path] if path else []
    children = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    return found + [place for key, value in children for place in places(value, (*path, key))]


PLACES = places({**FULL, **SERVERS})
strangers = st.sampled_from(
    [CANARY, [CANARY], {"type": "text", "text": CANARY}, {CANARY: CANARY}, {"type": CANARY}, [[{"x": CANARY}]], 7, None, True,
     {"url": CANARY}, {"type": "image_url", "image_url": {"url": CANARY}}, {"file_id": CANARY}, {}, [], 1.5, "", 2**60,
     {"name": CANARY, "arguments": CANARY}, {"id": CANARY}]
)  # fmt: skip


@given(
    where=st.sampled_from(PLACES),
    what=strangers,
    name=st.sampled_from(["", CANARY, "extra", "type", "text", "name", "content", "role", "audio", "functions"]),
)
@settings(max_examples=1500, deadline=None)
def test_no_unscreened_string_gets_through(where: tuple[Any, ...], what: Any, name: str) -> None:
    """Whatever is put in any place of a request, under any key: it is refused, or dropped and named, or every string is proven."""
    body = json.loads(json.dumps({**FULL, **SERVERS}))
    parent = body
    for key in where[:-1]:
        parent = parent[key]
    if name and isinstance(parent[where[-1]], dict):
        parent[where[-1]][name] = what
    elif name and isinstance(parent, dict):
        parent[name] = what
    else:
        parent[where[-1]] = what
    exchange, fault = attempt(body)
    if exchange is None:
        assert CANARY not in fault
        return
    assert unproven(exchange.body, {leaf.text for leaf in exchange.leaves}) == []
    unknown = {name if name.isidentifier() else "*" for name in set(body) - set(FIELDS) if body[name] is not None}
    assert set(exchange.dropped) == unknown
    again = parse(strict.dumps({"model": "m", **exchange.body}), LIMITS)
    assert again.leaves == exchange.leaves


UNSENT = {"model", "store", "logprobs", "top_logprobs", "prompt_logprobs"}


def test_every_field_of_the_table_is_treated_so() -> None:
    """The exported table of fields says what the parser does."""
    kept = read({**FULL, **SERVERS})
    for name, field in FIELDS.items():
        if field.treatment is Treatment.REFUSED:
            values: tuple[Any, ...] = ("x", ["x"], {}, False, 0)
            for value in values:
                with pytest.raises(BadRequest) as caught:
                    asking(**{name: value})
                assert caught.value.param == name
            assert name not in asking(**{name: None}).body
            continue
        leaves = [leaf for leaf in kept.leaves if re.split(r"[.\[]", leaf.path)[0] == name]
        assert bool(leaves) == (field.treatment is Treatment.SCREENED), name
        assert (name in kept.body) == (name not in UNSENT), name


@pytest.mark.parametrize("name", sorted(DROPPED))
def test_known_fields_that_are_dropped(name: str) -> None:
    """Each is left out, named, and reported: as grammar where it guides the decoding, else as an unknown field."""
    exchange = asking(**{name: CANARY})
    feature = Feature.GRAMMAR if name in GRAMMARS else Feature.UNKNOWN_FIELD
    assert (exchange.dropped, exchange.uses) == ((name,), (Use(feature, name),))
    assert CANARY not in repr(exchange)
    assert asking(**{name: None}).dropped == ()


def test_unknown_fields_are_dropped_and_named() -> None:
    """A field that the dialect does not know leaves the body and is reported; one that is no plain word enters no log."""
    exchange = asking(**{"Messages": [CANARY], CANARY: 1, "é": 2, "messages ": 3})
    assert exchange.dropped == ("Messages", "*")
    assert exchange.uses == (Use(Feature.UNKNOWN_FIELD, "Messages"), Use(Feature.UNKNOWN_FIELD, "*"))
    assert CANARY not in repr(exchange)


@pytest.mark.parametrize(
    ("asked", "uses", "dropped"),
    [
        ({"logprobs": True}, ["logprobs"], ["logprobs"]),
        ({"logprobs": False}, [], []),
        ({"logprobs": True, "top_logprobs": 5}, ["logprobs", "top_logprobs"], ["logprobs", "top_logprobs"]),
        ({"top_logprobs": 0}, [], ["top_logprobs"]),
        ({"prompt_logprobs": 0}, ["prompt_logprobs"], ["prompt_logprobs"]),
        ({"prompt_logprobs": -1}, ["prompt_logprobs"], ["prompt_logprobs"]),
        ({"store": True}, [], ["store"]),
        ({"store": False}, [], []),
    ],
)
def test_what_is_never_sent_on(asked: dict[str, Any], uses: list[str], dropped: list[str]) -> None:
    """Logprobs are reported so that a profile may refuse them; they and storing never reach the upstream, and that is said."""
    exchange = asking(**asked)
    assert [use.path for use in exchange.uses if use.feature is Feature.LOGPROBS] == uses
    assert list(exchange.dropped) == dropped
    assert set(exchange.body) == {"messages"}


@pytest.mark.parametrize(
    ("options", "asked"),
    [
        ({}, False),
        ({"include_usage": False}, False),
        ({"include_usage": None}, False),
        ({"include_usage": True, "include_obfuscation": True}, True),
        (None, False),
    ],
)
def test_streams_always_ask_for_usage(options: dict[str, Any] | None, asked: bool) -> None:
    """Our records want the usage; the client gets it only if it asked."""
    exchange = asking(stream=True, stream_options=options)
    assert exchange.body["stream_options"] == {"include_usage": True}
    assert (exchange.stream, exchange.usage_asked) == (True, asked)


def test_the_exchange_says_what_was_asked() -> None:
    """Dialect, model as written, stream, choices, usage and size."""
    raw = b'{"model": "Demo", "messages": [{"role": "user", "content": "x"}], "n": 3, "stream": false}'
    exchange = parse(raw, LIMITS)
    assert (exchange.dialect, exchange.model, exchange.stream) == ("openai.chat", "Demo", False)
    assert (exchange.choices, exchange.size, exchange.usage_asked) == (3, len(raw), True)
    assert "model" not in exchange.body


@pytest.mark.parametrize("model", ["", "x" * 257, 5, None, ["m"]])
def test_the_model_is_a_short_name(model: object) -> None:
    """A model that is no name of 1 to 256 characters is refused."""
    with pytest.raises(BadRequest) as caught:
        asking(model=model)
    assert caught.value.param == "model"


@pytest.mark.parametrize("name", ["messages", "model"])
def test_required_fields(name: str) -> None:
    """A missing required field is named."""
    with pytest.raises(BadRequest) as caught:
        read({key: value for key, value in FULL.items() if key != name})
    assert caught.value.param == name


def test_system_tools_and_parameters_are_always_new() -> None:
    """The operator's words count as new in every turn."""
    leaves = [leaf for leaf in read(FULL).leaves if leaf.origin is Origin.OPERATOR]
    assert {leaf.path.partition(".")[0].partition("[")[0] for leaf in leaves} == {
        "messages", "tools", "tool_choice", "response_format", "stop", "user", "safety_identifier", "metadata"
    }  # fmt: skip
    assert all(leaf.new for leaf in leaves)


def test_the_number_of_texts_is_bounded() -> None:
    """More leaves than the limit are too large, naming the place; decoded arguments count too."""
    with pytest.raises(TooLarge) as caught:
        read({"model": "m", "messages": [{"role": "user", "content": "x"}] * 4}, WireLimits(leaves=3))
    assert caught.value.param == "messages[3].content"
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": '{"a":1}'}}
    with pytest.raises(TooLarge) as caught:
        read({"model": "m", "messages": [{"role": "assistant", "tool_calls": [call]}]}, WireLimits(leaves=2))
    assert caught.value.param == "messages[0].tool_calls[0].function.arguments~decoded"


@pytest.mark.parametrize(
    ("name", "value", "param"),
    [
        ("n", 0, "n"),
        ("n", 9, "n"),
        ("n", "64", "n"),
        ("n", True, "n"),
        ("n", 2.0, "n"),
        ("max_tokens", 0, "max_tokens"),
        ("max_completion_tokens", 1.5, "max_completion_tokens"),
        ("temperature", 2.1, "temperature"),
        ("temperature", True, "temperature"),
        ("top_p", "1", "top_p"),
        ("top_k", -2, "top_k"),
        ("seed", [1], "seed"),
        ("ignore_eos", 1, "ignore_eos"),
        ("reasoning_effort", CANARY, "reasoning_effort"),
        ("verbosity", 1, "verbosity"),
        ("service_tier", CANARY, "service_tier"),
        ("modalities", ["audio"], "modalities[0]"),
        ("modalities", "text", "modalities"),
        ("logprobs", "yes", "logprobs"),
        ("top_logprobs", 21, "top_logprobs"),
        ("prompt_logprobs", "all", "prompt_logprobs"),
        ("store", "yes", "store"),
        ("logit_bias", {CANARY: 1}, "logit_bias"),
        ("logit_bias", {"1": 101}, "logit_bias.1"),
        ("logit_bias", [1], "logit_bias"),
        ("metadata", {"k": 1}, "metadata.k"),
        ("metadata", {CANARY: 1}, "metadata"),
        ("metadata", "x", "metadata"),
        ("stop", 5, "stop"),
        ("stop", ["a", None], "stop[1]"),
        ("user", {"id": 1}, "user"),
        ("stream", "true", "stream"),
        ("stream", 1, "stream"),
        ("stream_options", {"include_usage": "yes"}, "stream_options.include_usage"),
        ("stream_options", {"other": True}, "stream_options.other"),
        ("stream_options", [], "stream_options"),
        ("tools", {}, "tools"),
        ("response_format", {"type": "regex"}, "response_format.type"),
    ],
)
def test_faults_name_their_field(name: str, value: object, param: str) -> None:
    """A value of the wrong type or range is refused by its path, and never quoted."""
    with pytest.raises(BadRequest) as caught:
        read({**FULL, name: value})
    assert caught.value.param == param
    assert caught.value.message.startswith(f"{param}: ")
    assert CANARY not in caught.value.message


def test_options_of_a_stream_belong_to_streams() -> None:
    """Without a stream they are refused, as OpenAI does."""
    with pytest.raises(BadRequest) as caught:
        asking(stream_options={"include_usage": True})
    assert caught.value.param == "stream_options"


def test_a_null_field_is_absent() -> None:
    """Null in any optional field, known or not, is the same as leaving it out."""
    names = [name for name in (*FIELDS, *DROPPED, "brand_new") if name not in {"model", "messages"}]
    exchange = asking(**dict.fromkeys(names))
    assert (set(exchange.body), exchange.dropped, exchange.uses) == ({"messages"}, (), ())
