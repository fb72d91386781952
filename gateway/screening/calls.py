"""Tool calls of a model, read whole: what may be sent of them, and what is judged before it is. No state, no I/O."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec

ARGUMENT_BYTES = 256 * 1024  # of one call, in UTF-8


@dataclass(frozen=True, slots=True)
class CallText:
    """A complete call. ``arguments`` is our serialisation (compact, key order kept) and the only form that is ever sent.

    ``judged`` is the name, every string and number, every key, and ``arguments`` once more where it holds escapes, one per line.
    """

    arguments: str
    judged: str


def utf8_length(text: str) -> int:
    """Bytes of a text in UTF-8; a lone surrogate counts as the three bytes that it would take."""
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))


def read_call(name: str, raw: str) -> CallText | None:
    """Read the arguments as the model wrote them; None where they are not one complete JSON object. Empty text is ``{}``.

    Of duplicate keys the last one counts, for the judges and for the client alike: what is sent is written from the parsed form.
    """
    try:
        parsed = msgspec.json.decode(raw.strip() or "{}")
        arguments = msgspec.json.encode(parsed).decode()
    except (msgspec.MsgspecError, ValueError, RecursionError):  # ValueError: lone surrogates, integers of absurd length
        return None
    if not isinstance(parsed, dict):
        return None
    lines = [name, *_texts(parsed)]
    if "\\" in arguments:
        lines.append(arguments)
    return CallText(arguments, "\n".join(lines))


def _texts(parsed: dict[str, Any]) -> list[str]:
    """All values in their order, then all keys: a phrase spread over neighbouring values is not broken up by their keys."""
    values: list[str] = []
    keys: list[str] = []
    stack: list[Any] = [parsed]
    while stack:
        node = stack.pop()
        if isinstance(node, dict):
            keys.extend(node)
            stack.extend(reversed(node.values()))
        elif isinstance(node, list):
            stack.extend(reversed(node))
        elif isinstance(node, str):
            values.append(node)
        elif node is not None and not isinstance(node, bool):
            values.append(str(node))
    return values + keys
