"""Messages of OpenAI's chat dialect: roles, tool calls and results, reasoning that clients send back."""

from __future__ import annotations

import json
import re
from typing import Any

from gateway.exchange import Channel, Feature, Leaf, Origin, Role
from gateway.wire.node import Node
from gateway.wire.openai_content import content
from gateway.wire.voice import Voice, leaf, turn_start

ID = re.compile(r"[A-Za-z0-9_.:-]{1,64}")  # some models' templates need the dots and colons
ASSISTANT = "assistant"
# OpenAI's SDK reads answers into objects, and sends its copies back beside the texts that they were read from.
PARSED, PARSED_ARGUMENTS = "parsed", "parsed_arguments"
# Who a role is, and the keys that its messages may have beside ``role``, ``content`` and ``name``.
ROLES: dict[str, tuple[Role, Origin, tuple[str, ...]]] = {
    "system": (Role.SYSTEM, Origin.OPERATOR, ()),
    "developer": (Role.DEVELOPER, Origin.OPERATOR, ()),
    "user": (Role.USER, Origin.USER, ()),
    ASSISTANT: (
        Role.ASSISTANT,
        Origin.MODEL_HISTORY,
        ("refusal", "tool_calls", "function_call", "reasoning_content", "reasoning", "audio", "annotations", PARSED),
    ),
    "tool": (Role.TOOL, Origin.THIRD_PARTY, ("tool_call_id",)),
    "function": (Role.TOOL, Origin.THIRD_PARTY, ()),
}
_REASONING = ("reasoning_content", "reasoning")


def messages(node: Node) -> list[dict[str, Any]]:
    """The conversation. Reports a prefill where its last turn is an assistant's."""
    items = node.items()
    if not items:
        raise node.fault("must not be empty")
    roles = [item.member("role").choice(*ROLES) for item in items]
    if roles[-1] == ASSISTANT:
        items[-1].use(Feature.PREFILL)
    newest = turn_start(roles)
    return [_message(*turn, late=place >= newest) for place, turn in enumerate(zip(items, roles, strict=True))]


def _message(node: Node, name: str, *, late: bool) -> dict[str, Any]:
    role, origin, keys = ROLES[name]
    node.only("role", "content", "name", *keys)
    voice = Voice(name, role, origin, new=late or origin is Origin.OPERATOR)
    out: dict[str, Any] = {"role": name}
    if name == "tool":
        out["tool_call_id"] = node.member("tool_call_id").match(ID, "an id (letters, digits and _.:-, at most 64)")
    if name == "function" or node.given("name"):
        out["name"] = leaf(node.member("name"), voice, Channel.PARAMETER)
    if name == ASSISTANT:
        return out | _assistant(node, voice)
    return {**out, "content": content(node.member("content"), voice)}


def _assistant(node: Node, voice: Voice) -> dict[str, Any]:
    """What an assistant said; one of its ways to say something must be there. A null content stays null, an absent one absent."""
    for key in ("audio", "annotations"):
        if node.given(key) and node.member(key).value != []:
            raise node.member(key).fault("this field is not supported")
    node.drop(PARSED)
    out: dict[str, Any] = {
        key: leaf(node.member(key), voice, Channel.REASONING) for key in _REASONING if node.given(key)
    }
    if node.given("content"):
        out["content"] = content(node.member("content"), voice)
    if node.given("refusal"):
        out["refusal"] = leaf(node.member("refusal"), voice, Channel.REFUSAL)
    if node.given("tool_calls") and node.get("tool_calls") != []:  # servers and clients write it where there is none
        out["tool_calls"] = [_call(item, voice) for item in node.member("tool_calls").items()]
    if node.given("function_call"):
        out["function_call"] = _function(node.member("function_call"), voice)
    if out.keys() <= {*_REASONING}:
        raise node.fault("an assistant message needs content, a refusal or tool calls")
    return {"content": None, **out} if node.has("content") else out


def _call(node: Node, voice: Voice) -> dict[str, Any]:
    """One call. ``index`` is a leftover of streams and carries nothing."""
    node.only("id", "type", "function", "index")
    if node.given("index"):
        node.member("index").integer(0)
    return {
        "id": node.member("id").match(ID, "an id (letters, digits and _.:-, at most 64)"),
        "type": node.member("type").choice("function", fault="only calls of functions are supported"),
        "function": _function(node.member("function"), voice),
    }


def _function(node: Node, voice: Voice) -> dict[str, Any]:
    """The arguments are a string of JSON: screened as it stands, and once more as the model server decodes it."""
    node.only("name", "arguments", PARSED_ARGUMENTS)
    node.drop(PARSED_ARGUMENTS)
    out = {key: leaf(node.member(key), voice, Channel.TOOL_CALL) for key in ("name", "arguments")}
    if inside := strings_inside(out["arguments"]):
        path = f"{node.path}.arguments~decoded"
        node.found.add(Leaf(path, inside, voice.role, Channel.TOOL_CALL, voice.origin, voice.new))
    return out


def strings_inside(arguments: str) -> str:
    """What a model server finds in JSON arguments: all string values in their order, then all keys, one per line.

    Read as leniently as such servers do (constants, control characters, lone surrogates), and with both values of a key given
    twice, so that nothing which some server decodes is seen by nobody. Empty where the text is no JSON: it is a leaf as it is.
    """
    try:
        parsed = _LENIENT.decode(arguments.strip())
    except (ValueError, RecursionError):
        return ""
    values: list[str] = []
    keys: list[str] = []
    stack: list[Any] = [parsed]
    while stack:
        node = stack.pop()
        if isinstance(node, str):
            values.append(node)
        elif isinstance(node, tuple):  # an object, as its pairs
            keys.extend(key for key, _ in node)
            stack.extend(value for _, value in reversed(node))
        elif isinstance(node, list):
            stack.extend(reversed(node))
    return "\n".join(values + keys).encode(errors="replace").decode()


def _nothing(_: str) -> None:
    """Numbers are not text; the leaf of the raw arguments holds them."""


_LENIENT = json.JSONDecoder(
    object_pairs_hook=tuple, parse_int=_nothing, parse_float=_nothing, parse_constant=_nothing, strict=False
)
