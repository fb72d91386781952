from __future__ import annotations

import json
import re
from typing import Any

import pytest
from anthropic.types import MessageCreateParams
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter
from support.anthropic_proof import unproven

from gateway.errors import BadRequest, TooLarge
from gateway.exchange import Exchange, Feature, Origin, Use
from gateway.wire.anthropic_request import FIELDS, parse
from gateway.wire.base import WireLimits
from gateway.wire.node import plain
from gateway.wire.treatment import Treatment

LIMITS = WireLimits()
PARAMS: TypeAdapter[Any] = TypeAdapter(MessageCreateParams)
CANARY = "amber kestrel protocol"

# Everything that the dialect takes, once.
FULL: dict[str, Any] = {
    "model": "demo",
    "max_tokens": 2048,
    "system": [{"type": "text", "text": "s1", "cache_control": {"type": "ephemeral", "ttl": "5m"}}],
    "messages": [
        {"role": "user", "content": "u1"},
        {
            "role": "assistant",
            "content": [
                {"type": "thinking", "thinking": "t1", "signature": "c2ln"},
                {"type": "redacted_thinking", "data": "eA=="},
                {"type": "text", "text": "a1"},
                {"type": "tool_use", "id": "toolu_1", "name": "n1", "input": {"k1": ["v1", 2, None]}},
            ],
        },
        {
            "role": "user",
            "content": [
                {
                    "type": "tool_result",
                    "tool_use_id": "toolu_1",
                    "is_error": True,
                    "content": [
                        {"type": "text", "text": "r1"},
                        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "eA=="}},
                        {
                            "type": "search_result",
                            "source": "s2",
                            "title": "s3",
                            "content": [{"type": "text", "text": "s4"}],
                        },
                    ],
                },
                {
                    "type": "document",
                    "title": "d1",
                    "context": "d2",
                    "citations": {"enabled": False},
                    "source": {"type": "text", "media_type": "text/plain", "data": "d3"},
                },
                {"type": "document", "source": {"type": "content", "content": "d4"}},
                {"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": "eA=="}},
                {"type": "text", "text": "u2"},
            ],
        },
        {"role": "system", "content": "s5"},
        {"role": "assistant", "content": "p1"},
    ],
    "tools": [
        {
            "type": "custom",
            "name": "n2",
            "description": "d5",
            "input_schema": {"type": "object", "properties": {"k2": {"enum": ["v2"]}}},
            "input_examples": [{"k2": "v2"}],
            "strict": False,
            "eager_input_streaming": True,
            "allowed_callers": ["direct"],
        }
    ],
    "tool_choice": {"type": "tool", "name": "n2", "disable_parallel_tool_use": True},
    "stop_sequences": ["q1"],
    "temperature": 1,
    "top_p": 0.5,
    "top_k": 5,
    "metadata": {"user_id": "m1"},
    "thinking": {"type": "enabled", "budget_tokens": 1024, "display": "omitted"},
    "output_config": {"effort": "low", "format": {"type": "json_schema", "schema": {"title": "o1"}}},
    "service_tier": "standard_only",
    "cache_control": {"type": "ephemeral"},
    "stream": True,
}


def read(body: dict[str, Any], limits: WireLimits = LIMITS) -> Exchange:
    return parse(json.dumps(body, ensure_ascii=False).encode(), limits)


def attempt(body: dict[str, Any]) -> tuple[Exchange | None, str]:
    """The exchange, or the message of the 400."""
    try:
        return read(body), ""
    except BadRequest as error:
        return None, error.message


def with_messages(*messages: dict[str, Any], **more: Any) -> Exchange:
    return read({"model": "m", "max_tokens": 1, "messages": list(messages), **more})


def test_the_fullest_request_is_one_of_the_sdk() -> None:
    """The example is valid by the SDK's own types, and comes through unchanged but for its model."""
    PARAMS.validate_python(FULL)
    exchange = read(FULL)
    assert {"model": "demo", **exchange.body} == FULL


def test_every_string_of_the_fullest_request_is_proven() -> None:
    """Each string of the vetted tree is a leaf, an enumerated value or a checked id, and each leaf is a string of the tree."""
    exchange = read(FULL)
    texts = {leaf.text for leaf in exchange.leaves}
    assert unproven(exchange.body, texts) == []
    assert {f"{letter}{digit}" for letter, digit in re.findall(r'"([a-z])(\d)"', json.dumps(FULL))} <= texts
    assert all(json.dumps(text) in json.dumps(exchange.body) for text in texts)
    assert len({leaf.path for leaf in exchange.leaves}) == len(exchange.leaves)


def test_uses_of_the_fullest_request() -> None:
    """Opaque values, media and the prefill are reported with their paths."""
    assert read(FULL).uses == (
        Use(Feature.PREFILL, "messages[4]"),
        Use(Feature.OPAQUE, "messages[1].content[0].signature"),
        Use(Feature.OPAQUE, "messages[1].content[1].data"),
        Use(Feature.MEDIA, "messages[2].content[0].content[1].source"),
        Use(Feature.MEDIA, "messages[2].content[3].source"),
    )


def places(tree: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every place of a tree."""
    found = [path] if path else []
    children = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    return found + [place for key, value in children for place in places(value, (*path, key))]


PLACES_OF_FULL = places(FULL)
strangers = st.sampled_from(
    [CANARY, [CANARY], {"type": "text", "text": CANARY}, {CANARY: CANARY}, {"type": CANARY}, [[{"x": CANARY}]], 7, None, True,
     {"type": "url", "url": CANARY}, {"type": "file", "file_id": CANARY}, {}, [], 1.5, ""]
)  # fmt: skip


@given(
    where=st.sampled_from(PLACES_OF_FULL),
    what=strangers,
    name=st.sampled_from(["", CANARY, "extra", "type", "text", "name"]),
)
@settings(max_examples=1500, deadline=None)
def test_no_unscreened_string_gets_through(where: tuple[Any, ...], what: Any, name: str) -> None:
    """Whatever is put in any place of a request, under any key: it is refused, or dropped and named, or every string is proven."""
    body = json.loads(json.dumps(FULL))
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
    assert set(exchange.dropped) == {plain(found) for found in set(body) - set(FIELDS)}


def test_every_field_of_the_table_is_treated_so() -> None:
    """The exported table of fields says what the parser does."""
    for name, treatment in FIELDS.items():
        if treatment is Treatment.REFUSED:
            with pytest.raises(BadRequest) as caught:
                with_messages({"role": "user", "content": "x"}, **{name: ["x"]})
            assert caught.value.param == name
            assert name not in with_messages({"role": "user", "content": "x"}, **{name: None}).body
            continue
        kept = read(FULL)
        leaves = [leaf for leaf in kept.leaves if leaf.path.split(".")[0].split("[")[0] == name]
        assert bool(leaves) == (treatment is Treatment.SCREENED), name
        assert (name in kept.body) == (treatment is not Treatment.ROUTED), name


def test_unknown_fields_are_dropped_and_named() -> None:
    """A field that the dialect does not know leaves the body, and is reported."""
    exchange = with_messages({"role": "user", "content": "x"}, Messages=[CANARY], chat_template=CANARY)
    assert exchange.dropped == ("Messages", "chat_template")
    assert exchange.uses == (Use(Feature.UNKNOWN_FIELD, "Messages"), Use(Feature.UNKNOWN_FIELD, "chat_template"))
    assert CANARY not in repr(exchange)


def test_the_exchange_says_what_was_asked() -> None:
    """Dialect, model as written, stream, choices and size."""
    raw = b'{"model": "Demo", "max_tokens": 1, "messages": [{"role": "user", "content": "x"}]}'
    exchange = parse(raw, LIMITS)
    assert (exchange.dialect, exchange.model, exchange.stream) == ("anthropic.messages", "Demo", False)
    assert (exchange.choices, exchange.size, exchange.usage_asked) == (1, len(raw), True)
    assert "model" not in exchange.body


@pytest.mark.parametrize("model", ["", "x" * 257, 5, None, ["m"]])
def test_the_model_is_a_short_name(model: object) -> None:
    """A model that is no name of 1 to 256 characters is refused."""
    with pytest.raises(BadRequest) as caught:
        read({"model": model, "max_tokens": 1, "messages": [{"role": "user", "content": "x"}]})
    assert caught.value.param == "model"


@pytest.mark.parametrize(
    ("roles", "new"),
    [
        ("u", "1"),
        ("ua", "11"),
        ("uau", "001"),
        ("uauu", "0011"),
        ("uaua", "0011"),
        ("uauaa", "00111"),
        ("uaau", "0001"),
        ("a", "1"),
        ("aa", "11"),
        ("uas", "001"),
        ("uasa", "0011"),
    ],
)
def test_new_this_turn(roles: str, new: str) -> None:
    """New is what follows the last finished answer; a prefill at the end cannot make the question before it look old."""
    names = {"u": "user", "a": "assistant", "s": "system"}
    exchange = with_messages(*({"role": names[role], "content": "x"} for role in roles))
    assert "".join("01"[leaf.new] for leaf in exchange.leaves) == new
    assert (Use(Feature.PREFILL, f"messages[{len(roles) - 1}]") in exchange.uses) == roles.endswith("a")


def test_system_and_tools_are_always_new() -> None:
    """The operator's words count as new in every turn."""
    leaves = [leaf for leaf in read(FULL).leaves if leaf.origin is Origin.OPERATOR]
    assert leaves
    assert all(leaf.new for leaf in leaves)


def test_the_number_of_texts_is_bounded() -> None:
    """More leaves than the limit are too large, naming the place."""
    blocks = [{"type": "text", "text": "x"}] * 4
    with pytest.raises(TooLarge) as caught:
        read({"model": "m", "max_tokens": 1, "messages": [{"role": "user", "content": blocks}]}, WireLimits(leaves=3))
    assert caught.value.param == "messages[0].content[3].text"


@pytest.mark.parametrize("name", ["max_tokens", "messages", "model"])
def test_required_fields(name: str) -> None:
    """A missing required field is named."""
    body = {key: value for key, value in FULL.items() if key != name}
    with pytest.raises(BadRequest) as caught:
        read(body)
    assert caught.value.param == name


@pytest.mark.parametrize(
    ("name", "value", "param"),
    [
        ("max_tokens", 0, "max_tokens"),
        ("max_tokens", 1.5, "max_tokens"),
        ("temperature", -0.1, "temperature"),
        ("temperature", True, "temperature"),
        ("top_p", 1.1, "top_p"),
        ("top_k", -1, "top_k"),
        ("thinking", {"type": "enabled"}, "thinking.budget_tokens"),
        ("thinking", {"type": "deep"}, "thinking.type"),
        ("thinking", {"type": "between_tools", "display": "omitted"}, "thinking.display"),
        ("thinking", {"type": "adaptive", "display": CANARY}, "thinking.display"),
        ("tool_choice", {"type": "tool"}, "tool_choice.name"),
        ("tool_choice", "auto", "tool_choice"),
        ("tools", {}, "tools"),
        ("tools", [{"name": "x"}], "tools[0].input_schema"),
        ("tools", [{"name": "x", "input_schema": {}, "allowed_callers": ["code"]}], "tools[0].allowed_callers[0]"),
        ("tools", [{"type": None, "name": "x", "input_schema": {}, "strict": "yes"}], "tools[0].strict"),
        ("output_config", {"format": {"type": "grammar", "schema": {}}}, "output_config.format.type"),
        ("output_config", {"effort": CANARY}, "output_config.effort"),
        ("system", 5, "system"),
        ("metadata", [], "metadata"),
    ],
)
def test_faults_name_their_field(name: str, value: object, param: str) -> None:
    """A value of the wrong type or range is refused by its path."""
    with pytest.raises(BadRequest) as caught:
        read({**FULL, name: value})
    assert caught.value.param == param
    assert caught.value.message.startswith(f"{param}: ")


def test_empty_settings_are_kept_empty() -> None:
    """Objects whose every key is absent or null come through empty, and tools without extras too."""
    tool: dict[str, Any] = {"type": None, "name": "x", "input_schema": {}, "description": None, "cache_control": None}
    settings_: dict[str, Any] = {
        "output_config": {"effort": None, "format": None},
        "metadata": {},
        "thinking": {"type": "adaptive"},
    }
    body = with_messages({"role": "user", "content": "x"}, tools=[tool], tool_choice={"type": "none"}, **settings_).body
    assert body["output_config"] == body["metadata"] == {}
    assert body["thinking"] == {"type": "adaptive"}
    assert body["tools"] == [{"name": "x", "input_schema": {}, "cache_control": None}]


@pytest.mark.parametrize("choice", [{"type": "any"}, {"type": "tool", "name": "look"}])
def test_a_tool_that_must_be_called_steers_by_its_schema(choice: dict[str, str]) -> None:
    """A regular expression in a tool's schema is grammar where the model must call, and a text where it may."""
    tool: dict[str, Any] = {"name": "look", "input_schema": {"properties": {"code": {"pattern": "a+"}}}}
    used = (Use(Feature.GRAMMAR, "tools[0].input_schema.properties.code.pattern"),)

    def uses(**more: Any) -> tuple[Use, ...]:
        messages = [{"role": "user", "content": "x"}]
        body = {"model": "m", "max_tokens": 1, "messages": messages, "tools": [tool], **more}
        return parse(json.dumps(body).encode(), LIMITS).uses

    assert uses(tool_choice=choice) == used
    assert uses() == uses(tool_choice={"type": "auto"}) == uses(tool_choice={"type": "none"}) == ()
    tool["strict"] = True
    assert uses() == uses(tool_choice=choice) == used
