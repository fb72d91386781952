"""Tools, their choice, and shapes of answers: every string of a definition is screened, every fault names its path."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from gateway.errors import BadRequest
from gateway.exchange import Channel, Feature, Origin, Role
from gateway.wire.base import WireLimits
from gateway.wire.node import Found, Node
from gateway.wire.openai_request import parse
from gateway.wire.openai_tools import response_format, tool_choice, tools

FUNCTION = {"name": "n1", "description": "d1", "parameters": {"type": "object"}, "strict": True}


def vet(check: Callable[[Node], Any], value: Any) -> tuple[Any, list[tuple[str, str, Channel]]]:
    """What is sent on, and the leaves found."""
    node = Node(value, "it", Found(99))
    out = check(node)
    assert {(leaf.role, leaf.origin, leaf.new) for leaf in node.found.leaves} <= {(Role.SYSTEM, Origin.OPERATOR, True)}
    return out, [(leaf.path, leaf.text, leaf.channel) for leaf in node.found.leaves]


def test_every_string_of_a_tool_is_screened() -> None:
    """Name, description, and keys and values of the schema."""
    given = [{"type": "function", "function": FUNCTION}]
    out, leaves = vet(tools, given)
    assert out == given
    assert leaves == [
        ("it[0].function.name", "n1", Channel.TOOL_DEFINITION),
        ("it[0].function.description", "d1", Channel.TOOL_DEFINITION),
        ("it[0].function.parameters.type~key", "type", Channel.TOOL_DEFINITION),
        ("it[0].function.parameters.type", "object", Channel.TOOL_DEFINITION),
    ]


def test_a_tool_needs_its_name_only() -> None:
    """The rest may be absent or null, and is left out then; the list may be empty."""
    bare = {"type": "function", "function": {"name": "n", "description": None, "parameters": None, "strict": None}}
    assert vet(tools, [bare])[0] == [{"type": "function", "function": {"name": "n"}}]
    assert vet(tools, [])[0] == []


@pytest.mark.parametrize("mode", ["none", "auto", "required"])
def test_modes_of_choice_are_enumerated(mode: str) -> None:
    """They are no leaves."""
    assert vet(tool_choice, mode) == (mode, [])


def test_a_chosen_function_is_screened() -> None:
    """Its name is free text."""
    given = {"type": "function", "function": {"name": "n"}}
    assert vet(tool_choice, given) == (given, [("it.function.name", "n", Channel.PARAMETER)])


@pytest.mark.parametrize("kind", ["text", "json_object"])
def test_formats_without_words_are_enumerated(kind: str) -> None:
    """They are no leaves."""
    assert vet(response_format, {"type": kind}) == ({"type": kind}, [])


def test_every_string_of_a_schema_is_screened() -> None:
    """As in a tool."""
    given = {"type": "json_schema", "json_schema": {"name": "n", "schema": {"enum": ["a"]}, "strict": False}}
    out, leaves = vet(response_format, given)
    assert out == given
    assert [text for _, text, _ in leaves] == ["n", "enum", "a"]


FAULTS: dict[str, tuple[Callable[[Node], Any], Any, str]] = {
    "tools no list": (tools, {}, "it"),
    "a tool that a server runs": (tools, [{"type": "web_search"}], "it[0].type"),
    "a custom tool": (tools, [{"type": "custom", "custom": {"name": "n"}}], "it[0].type"),
    "no type": (tools, [{"function": FUNCTION}], "it[0].type"),
    "no function": (tools, [{"type": "function"}], "it[0].function"),
    "another key": (tools, [{"type": "function", "function": FUNCTION, "x": 1}], "it[0].x"),
    "another key of a function": (tools, [{"type": "function", "function": {**FUNCTION, "x": 1}}], "it[0].function.x"),
    "no name": (tools, [{"type": "function", "function": {}}], "it[0].function.name"),
    "a schema under the wrong name": (
        tools,
        [{"type": "function", "function": {"name": "n", "schema": {}}}],
        "it[0].function.schema",
    ),
    "parameters no object": (
        tools,
        [{"type": "function", "function": {"name": "n", "parameters": "x"}}],
        "it[0].function.parameters",
    ),
    "strict a string": (
        tools,
        [{"type": "function", "function": {"name": "n", "strict": "true"}}],
        "it[0].function.strict",
    ),
    "a mode of words": (tool_choice, "amber", "it"),
    "a choice of allowed tools": (tool_choice, {"type": "allowed_tools"}, "it.type"),
    "a choice with another key": (tool_choice, {"type": "function", "function": {"name": "n"}, "x": 1}, "it.x"),
    "a choice with arguments": (
        tool_choice,
        {"type": "function", "function": {"name": "n", "arguments": "x"}},
        "it.function.arguments",
    ),
    "a format of words": (response_format, {"type": "amber"}, "it.type"),
    "a grammar": (response_format, {"type": "grammar", "grammar": "x"}, "it.type"),
    "a structural tag": (response_format, {"type": "structural_tag"}, "it.type"),
    "a schema beside plain JSON": (response_format, {"type": "json_object", "schema": {}}, "it.schema"),
    "no schema": (response_format, {"type": "json_schema"}, "it.json_schema"),
    "a format no object": (response_format, "json_object", "it"),
}


@pytest.mark.parametrize(("check", "value", "param"), FAULTS.values(), ids=FAULTS)
def test_faults_name_their_path(check: Callable[[Node], Any], value: Any, param: str) -> None:
    """400, with the path of the field at fault."""
    with pytest.raises(BadRequest) as caught:
        vet(check, value)
    assert caught.value.param == param


@pytest.mark.parametrize("choice", ["required", {"type": "function", "function": {"name": "look"}}])
def test_a_tool_that_must_be_called_steers_by_its_schema(choice: object) -> None:
    """A regular expression in a tool's schema is grammar where the model must call, and a text where it may."""
    shape = {"properties": {"code": {"pattern": "a+"}}}
    given: list[Any] = [{"type": "function", "function": {"name": "look", "parameters": shape}},
             {"type": "function", "function": {"name": "bare"}}]  # fmt: skip
    path = "tools[0].function.parameters.properties.code.pattern"

    def uses(**more: object) -> list[tuple[Feature, str]]:
        body = {"model": "m", "messages": [{"role": "user", "content": "x"}], "tools": given, **more}
        return [(use.feature, use.path) for use in parse(json.dumps(body).encode(), WireLimits()).uses]

    assert uses(tool_choice=choice) == [(Feature.GRAMMAR, path)]
    assert uses() == uses(tool_choice="auto") == uses(tool_choice="none") == []
    given[0]["function"]["strict"] = True
    assert uses() == uses(tool_choice=choice) == [(Feature.GRAMMAR, path)]
