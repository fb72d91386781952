"""Content of Anthropic's dialect: blocks of messages and of the system prompt, vetted one key at a time.

Inside a message nothing is dropped silently: a key, block or source that is not listed here is refused by its path, since
leaving it out would change what the client meant.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from gateway.exchange import Channel, Feature, Role
from gateway.wire.node import Node
from gateway.wire.treatment import Treatment
from gateway.wire.voice import Voice, leaf, tree

ID = re.compile(r"[A-Za-z0-9_.:-]{1,128}")
BASE64 = re.compile(r"[A-Za-z0-9+/]*={0,2}")
OPAQUE = re.compile(r"[A-Za-z0-9+/=_.:-]*")
IMAGES = ("image/jpeg", "image/png", "image/gif", "image/webp")


# How each block type is treated; any other type is refused. Ids in them are checked against a pattern, marks are inert.
BLOCKS: dict[str, tuple[Treatment, ...]] = {
    "text": (Treatment.SCREENED,),
    "image": (Treatment.REPORTED,),
    "document": (Treatment.SCREENED, Treatment.REPORTED),  # by its source: text and blocks, or a PDF
    "search_result": (Treatment.SCREENED,),
    "tool_result": (Treatment.SCREENED,),
    "tool_use": (Treatment.SCREENED,),
    "thinking": (Treatment.SCREENED, Treatment.REPORTED),  # its text, its signature
    "redacted_thinking": (Treatment.REPORTED,),
}
# The places that take each block.
USER, ASSISTANT, RESULT, DOCUMENT = "user", "assistant", "tool_result", "document"
PLACES: dict[str, frozenset[str]] = {
    "text": frozenset({USER, ASSISTANT, RESULT, DOCUMENT, "system"}),
    "image": frozenset({USER, RESULT, DOCUMENT}),
    "document": frozenset({USER, RESULT}),
    "search_result": frozenset({USER, RESULT}),
    "tool_result": frozenset({USER}),
    "tool_use": frozenset({ASSISTANT}),
    "thinking": frozenset({ASSISTANT}),
    "redacted_thinking": frozenset({ASSISTANT}),
}


def content(node: Node, voice: Voice) -> Any:
    """A content: one string, or a list of blocks."""
    if isinstance(node.value, str):
        return leaf(node, voice)
    return [block(item, voice) for item in node.items("a string or a list of blocks")]


def block(node: Node, voice: Voice) -> dict[str, Any]:
    """One block, in a place that takes its type."""
    given = node.member("type")
    kind = given.string()
    if kind not in PLACES:
        raise given.fault("this type of block is not supported")
    if voice.place not in PLACES[kind]:
        raise given.fault(f"a block of this type has no place in {voice.place} content")
    return {"type": kind, **_BLOCKS[kind](node, voice)}


def cache_control(node: Node) -> dict[str, Any] | None:
    """Inert: two enumerated values, or null."""
    if node.value is None:
        return None
    node.only("type", "ttl")
    out = {"type": node.member("type").choice("ephemeral")}
    if node.has("ttl"):
        out["ttl"] = node.member("ttl").choice("5m", "1h")
    return out


def _caching(node: Node) -> dict[str, Any]:
    return {"cache_control": cache_control(node.member("cache_control"))} if node.has("cache_control") else {}


def _text(node: Node, voice: Voice) -> dict[str, Any]:
    node.only("type", "text", "cache_control", "citations")
    if node.get("citations"):
        raise node.member("citations").fault("citations in a request are not supported")
    return {"text": leaf(node.member("text"), voice), **_caching(node)}


def _image(node: Node, _: Voice) -> dict[str, Any]:
    node.only("type", "source", "cache_control")
    source = node.member("source")
    source.member("type").choice("base64", fault="only images sent inline as base64 are supported")
    return {"source": _inline(source, *IMAGES), **_caching(node)}


def _inline(source: Node, *media: str) -> dict[str, Any]:
    """Bytes in base64: not screened, reported as media."""
    source.only("type", "media_type", "data")
    kind = source.member("media_type").choice(*media)
    source.use(Feature.MEDIA)
    return {"type": "base64", "media_type": kind, "data": source.member("data").match(BASE64, "base64")}


def _document(node: Node, voice: Voice) -> dict[str, Any]:
    node.only("type", "source", "title", "context", "citations", "cache_control")
    foreign = voice.third_party(DOCUMENT)
    out: dict[str, Any] = {"source": _source(node.member("source"), foreign)}
    for name in ("title", "context"):
        if node.get(name) is not None:
            out[name] = leaf(node.member(name), foreign)
    return {**out, **_citing(node), **_caching(node)}


def _source(source: Node, voice: Voice) -> dict[str, Any]:
    kind = source.member("type").choice(
        "base64", "text", "content", fault="only documents sent inline (base64, text, content) are supported"
    )
    if kind == "base64":
        return _inline(source, "application/pdf")
    if kind == "content":
        source.only("type", "content")
        return {"type": "content", "content": content(source.member("content"), voice)}
    source.only("type", "media_type", "data")
    plain = source.member("media_type").choice("text/plain")
    return {"type": "text", "media_type": plain, "data": leaf(source.member("data"), voice)}


def _citing(node: Node) -> dict[str, Any]:
    """Citations can only be off: they would bring text into the answer that is not part of its channels."""
    if node.get("citations") is None:
        return {}
    setting = node.member("citations").only("enabled")
    if setting.has("enabled") and setting.member("enabled").flag():
        raise setting.member("enabled").fault("citations are not supported")
    return {"citations": {"enabled": False}}


def _search_result(node: Node, voice: Voice) -> dict[str, Any]:
    node.only("type", "source", "title", "content", "citations", "cache_control")
    foreign = voice.third_party("search_result")
    out: dict[str, Any] = {name: leaf(node.member(name), foreign) for name in ("source", "title")}
    out["content"] = [{"type": "text", **_text(_typed(item), foreign)} for item in node.member("content").items()]
    return {**out, **_citing(node), **_caching(node)}


def _typed(item: Node) -> Node:
    item.member("type").choice("text")
    return item


def _tool_use(node: Node, voice: Voice) -> dict[str, Any]:
    node.only("type", "id", "name", "input", "caller", "cache_control")
    out: dict[str, Any] = {
        "id": node.member("id").match(ID, "an id"),
        "name": leaf(node.member("name"), voice, Channel.TOOL_CALL),
        "input": tree(node.member("input").object(), voice, Channel.TOOL_CALL),
    }
    if node.get("caller") is not None:
        caller = node.member("caller").only("type")
        out["caller"] = {"type": caller.member("type").choice("direct")}
    return {**out, **_caching(node)}


def _tool_result(node: Node, voice: Voice) -> dict[str, Any]:
    node.only("type", "tool_use_id", "content", "is_error", "cache_control")
    out: dict[str, Any] = {"tool_use_id": node.member("tool_use_id").match(ID, "an id")}
    if node.get("content") is not None:
        out["content"] = content(node.member("content"), replace(voice.third_party(RESULT), role=Role.TOOL))
    if node.has("is_error"):
        out["is_error"] = node.member("is_error").flag()
    return {**out, **_caching(node)}


def _thinking(node: Node, voice: Voice) -> dict[str, Any]:
    node.only("type", "thinking", "signature")
    thinking = leaf(node.member("thinking"), voice, Channel.REASONING)
    return {"thinking": thinking, "signature": _opaque(node.member("signature"))}


def _redacted(node: Node, _: Voice) -> dict[str, Any]:
    node.only("type", "data")
    return {"data": _opaque(node.member("data"))}


def _opaque(node: Node) -> str:
    """Signed or encrypted: no view can read it, so profiles may refuse it. An empty one says nothing."""
    value = node.match(OPAQUE, "an opaque value")
    if value:
        node.use(Feature.OPAQUE)
    return value


_BLOCKS: dict[str, Callable[[Node, Voice], dict[str, Any]]] = {
    "text": _text,
    "image": _image,
    "document": _document,
    "search_result": _search_result,
    "tool_result": _tool_result,
    "tool_use": _tool_use,
    "thinking": _thinking,
    "redacted_thinking": _redacted,
}
