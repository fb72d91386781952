"""Content of OpenAI's chat dialect: a string or a list of parts, vetted one key at a time.

A part or key that is not listed here is refused by its path: leaving it out would change what the client meant. Media come
inline only (base64); what a URL or a file id names is not in the request, so nobody could screen it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from gateway.exchange import Channel, Feature
from gateway.wire.node import Node
from gateway.wire.voice import Voice, leaf

IMAGES = ("image/jpeg", "image/png", "image/gif", "image/webp")
FILES = ("application/pdf",)

# Which roles may speak in which parts; the table of docs and tests.
PARTS: dict[str, frozenset[str]] = {
    "text": frozenset({"system", "developer", "user", "assistant", "tool", "function"}),
    "refusal": frozenset({"assistant"}),
    "image_url": frozenset({"user"}),
    "input_audio": frozenset({"user"}),
    "file": frozenset({"user"}),
}


def content(node: Node, voice: Voice) -> Any:
    """One string, or a list of parts."""
    if isinstance(node.value, str):
        return leaf(node, voice)
    parts = [_part(item, voice) for item in node.items("a string or a list of parts")]
    if not parts:
        raise node.fault("must not be empty")
    return parts


def _part(node: Node, voice: Voice) -> dict[str, Any]:
    given = node.member("type")
    kind = given.string()
    if kind not in PARTS:
        raise given.fault("this type of part is not supported")
    if voice.place not in PARTS[kind]:
        raise given.fault(f"a message of role {voice.place} cannot hold a part of this type")
    node.only("type", kind)
    return {"type": kind, kind: _PARTS[kind](node.member(kind), voice)}


def _refusal(node: Node, voice: Voice) -> str:
    return leaf(node, voice, Channel.REFUSAL)


def _image(node: Node, _: Voice) -> dict[str, Any]:
    node.only("url", "detail")
    out: dict[str, Any] = {"url": _inline(node.member("url"), "images", IMAGES)}
    if node.given("detail"):
        out["detail"] = node.member("detail").choice("auto", "low", "high")
    return out


def _audio(node: Node, _: Voice) -> dict[str, Any]:
    node.only("data", "format")
    return {"data": _media(node.member("data")), "format": node.member("format").choice("wav", "mp3")}


def _file(node: Node, voice: Voice) -> dict[str, Any]:
    node.only("filename", "file_data")
    out: dict[str, Any] = {}
    if node.given("filename"):
        out["filename"] = leaf(node.member("filename"), voice, Channel.PARAMETER)
    return {**out, "file_data": _inline(node.member("file_data"), "files", FILES)}


def _inline(node: Node, what: str, media: tuple[str, ...]) -> str:
    """A ``data:`` URI of a listed media type, without parameters."""
    head, comma, data = node.string().partition(",")
    if not comma or head not in {f"data:{kind};base64" for kind in media}:
        raise node.fault(f"only {what} sent inline are supported (data:...;base64, of {', '.join(media)})")
    return f"{head},{_media(node, data)}"


def _media(node: Node, text: str | None = None) -> str:
    """Bytes in base64: the value, or the part of it that is handed in. Not screened, reported as media."""
    node.use(Feature.MEDIA)
    return node.base64(text)


_PARTS: dict[str, Callable[[Node, Voice], Any]] = {
    "text": leaf,
    "refusal": _refusal,
    "image_url": _image,
    "input_audio": _audio,
    "file": _file,
}
