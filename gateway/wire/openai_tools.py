"""Tools and shapes of answers in OpenAI's chat dialect. Their words reach the model, so every string of a schema is screened."""

from __future__ import annotations

from typing import Any

from gateway.exchange import Channel
from gateway.wire.node import Node
from gateway.wire.voice import OPERATOR, leaf, tree


def tools(node: Node) -> list[dict[str, Any]]:
    """Functions of the client's. Tools that a server runs would bring in text that is not in the request: refused."""
    return [_tool(item) for item in node.items()]


def _tool(node: Node) -> dict[str, Any]:
    kind = node.member("type").choice("function", fault="only tools of type 'function' are supported")
    node.only("type", "function")
    return {"type": kind, "function": _described(node.member("function"), "parameters")}


def _described(node: Node, schema: str) -> dict[str, Any]:
    """A name, perhaps a description, perhaps a JSON schema under the key ``schema``, perhaps ``strict``."""
    node.only("name", "description", schema, "strict")
    out: dict[str, Any] = {"name": leaf(node.member("name"), OPERATOR, Channel.TOOL_DEFINITION)}
    if node.given("description"):
        out["description"] = leaf(node.member("description"), OPERATOR, Channel.TOOL_DEFINITION)
    if node.given(schema):
        out[schema] = tree(node.member(schema).object(), OPERATOR, Channel.TOOL_DEFINITION)
    if node.given("strict"):
        out["strict"] = node.member("strict").flag()
    return out


def tool_choice(node: Node) -> Any:
    """A mode, or the one function to call."""
    if isinstance(node.value, str):
        return node.choice("none", "auto", "required")
    node.only("type", "function")
    kind = node.member("type").choice("function", fault="only the choice of a function is supported")
    chosen = node.member("function").only("name")
    return {"type": kind, "function": {"name": leaf(chosen.member("name"), OPERATOR, Channel.PARAMETER)}}


def response_format(node: Node) -> dict[str, Any]:
    """Free text, some JSON, or JSON of a schema."""
    kind = node.member("type").choice("text", "json_object", "json_schema")
    if kind != "json_schema":
        node.only("type")
        return {"type": kind}
    node.only("type", kind)
    return {"type": kind, kind: _described(node.member(kind), "schema")}
