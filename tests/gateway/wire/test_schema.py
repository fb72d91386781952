"""JSON schemas: every string a leaf, regular expressions reported where they steer, properties of any name let be."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.errors import BadRequest
from gateway.exchange import Channel, Feature
from gateway.wire.node import Found, Node
from gateway.wire.schema import regex, report, schema

CANARY = "amber kestrel protocol"
# A schema with the canary in each place that can hold a text.
PLACES: dict[str, dict[str, Any]] = {
    "title": {"title": CANARY},
    "description": {"description": CANARY},
    "enum": {"enum": ["a", CANARY]},
    "const": {"const": CANARY},
    "const-object": {"const": {"a": [CANARY]}},
    "property-name": {"properties": {CANARY: {}}},
    "property-title": {"properties": {"a": {"title": CANARY}}},
    "required": {"required": [CANARY]},
    "defs-name": {"$defs": {CANARY: {}}},
    "defs-title": {"$defs": {"a": {"title": CANARY}}},
    "ref": {"$ref": f"#/$defs/{CANARY}"},
    "pattern": {"pattern": CANARY},
    "pattern-properties": {"patternProperties": {CANARY: {}}},
    "examples": {"examples": [CANARY]},
    "default": {"default": CANARY},
    "default-key": {"default": {CANARY: 1}},
    "comment": {"$comment": CANARY},
    "format": {"format": CANARY},
    "items": {"items": {"anyOf": [{"title": CANARY}]}},
    "unknown": {"x-own": {"deep": [[CANARY]]}},
    "unknown-key": {"x-own": {CANARY: None}},
}
REGULAR: dict[str, tuple[dict[str, Any], str]] = {
    "pattern": ({"pattern": "a+"}, "it.pattern"),
    "of a property": ({"properties": {"code": {"pattern": "a+"}}}, "it.properties.code.pattern"),
    "of a property called default": ({"properties": {"default": {"pattern": "a"}}}, "it.properties.default.pattern"),
    "of a definition called enum": ({"$defs": {"enum": {"pattern": "a"}}}, "it.*.enum.pattern"),
    "property names": ({"patternProperties": {"a+": {}}}, "it.patternProperties"),
    "names by a schema": ({"propertyNames": {"pattern": "a+"}}, "it.propertyNames.pattern"),
    "in a union": ({"anyOf": [{}, {"items": {"pattern": "a+"}}]}, "it.anyOf[1].items.pattern"),
    "between tokens": ({"x-guidance": {"whitespace_pattern": "a+"}}, "it.x-guidance.whitespace_pattern"),
    "under an unknown keyword": ({"x-own": [[{"pattern": "a+"}]]}, "it.x-own[0][0].pattern"),
    "a default that is referred to": ({"default": {"pattern": "a"}, "$ref": "#/default"}, "it.default.pattern"),
    "an entry of a definition's data": (
        {"$defs": {"a": {"enum": [{"pattern": "a"}]}}, "allOf": [{"$ref": "#/$defs/a/enum/0"}]},
        "it.*.a.enum[0].pattern",
    ),
    "an anchor": ({"const": {"$anchor": "x", "pattern": "a"}, "items": {"$dynamicRef": "#x"}}, "it.const.pattern"),
}
FREE: dict[str, dict[str, Any]] = {
    "none": {"type": "object", "title": "a pattern"},
    "a property of that name": {
        "properties": {"pattern": {"type": "string"}, "patternProperties": {}},
        "required": ["pattern"],
    },
    "a definition of that name": {"$defs": {"pattern": {"type": "string"}}, "$ref": "#/$defs/pattern"},
    "a default of that name": {"default": {"pattern": "*.py"}, "$ref": "#"},
    "an example of that name": {"examples": [{"pattern": "*.py"}], "properties": {"$ref": {"type": "string"}}},
    "what a property depends on": {"dependentRequired": {"pattern": ["path"]}},
    "an empty one": {"pattern": ""},
}


def node(value: Any) -> Node:
    """A place of a request."""
    return Node(value, "it", Found(1000))


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("steers", [False, True])
def test_every_text_of_a_schema_is_a_leaf(place: str, steers: bool) -> None:
    """A text in any place of a schema is screened as a definition, whatever the schema is for."""
    here = node(PLACES[place])
    assert schema(here, steers=steers) == PLACES[place]
    assert any(CANARY in leaf.text and leaf.channel is Channel.TOOL_DEFINITION for leaf in here.found.leaves)


@pytest.mark.parametrize("name", REGULAR)
def test_a_regular_expression_is_grammar_where_it_steers(name: str) -> None:
    """A regular expression is reported under its own path, and only where the schema steers the answer."""
    value, path = REGULAR[name]
    here, idle = node(value), node(value)
    schema(here, steers=True)
    schema(idle, steers=False)
    assert [(use.feature, use.path) for use in here.found.uses] == [(Feature.GRAMMAR, path)]
    assert not idle.found.uses


@pytest.mark.parametrize("name", FREE)
def test_a_name_is_no_regular_expression(name: str) -> None:
    """Properties, definitions and data may be called ``pattern``: tools that search have such parameters."""
    assert regex(FREE[name], "it") is None


def test_a_clients_key_is_no_part_of_a_path() -> None:
    """A path gets into logs, so a key of many words is left out of it."""
    here = node({"properties": {CANARY: {"pattern": "a"}}})
    report(here)
    assert here.found.uses[0].path == "it.properties.*.pattern"


def test_a_schema_is_an_object() -> None:
    """Anything else is refused by its path."""
    with pytest.raises(BadRequest) as caught:
        schema(node("amber"), steers=True)
    assert caught.value.param == "it"
