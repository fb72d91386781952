"""Tools and shapes of answers in OpenAI's chat dialect. Their words reach the model, so every string of a schema is screened."""

from __future__ import annotations

from typing import Any

from gateway.exchange import Channel
from gateway.wire.node import Node
from gateway.wire.schema import report, schema
from gateway.wire.voice import OPERATOR, leaf


def tools(node: Node) -> list[dict[str, Any]]:
    """Functions of the client's. Tools that a server runs would bring in text that is not in the request: refused."""
    return [_tool(item) for item in node.items()]


def _tool(node: Node) -> dict[str, Any]:
    kind = node.member("type").choice("function", fault="only tools of type 'function' are supported")
    node.only("type", "function")
    function = node.member("function")
    return {"type": kind, "function": _described(function, "parameters", steers=function.get("strict") is True)}


def _described(node: Node, shape: str, *, steers: bool) -> dict[str, Any]:
    """A name, perhaps a description, perhaps a JSON schema under the key ``shape``, perhaps ``strict``."""
    node.only("name", "description", shape, "strict")
    out: dict[str, Any] = {"name": leaf(node.member("name"), OPERATOR, Channel.TOOL_DEFINITION)}
    if node.given("description"):
        out["description"] = leaf(node.member("description"), OPERATOR, Channel.TOOL_DEFINITION)
    if node.given(shape):
        out[shape] = schema(node.member(shape), steers=steers)
    if node.given("strict"):
        out["strict"] = node.member("strict").flag()
    return out


def must_call(tools: Node) -> None:
    """The model must call a tool, so that its server may write the arguments by the schema, strict or not."""
    for item in tools.items():
        function = item.member("function")
        if function.given("parameters") and function.get("strict") is not True:
            report(function.member("parameters"))


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
    return {"type": kind, kind: _described(node.member(kind), "schema", steers=True)}
