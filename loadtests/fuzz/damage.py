"""Damage to inputs, from a seed: bytes cut, repeated, swapped with those of other inputs.

Where inputs hold JSON, also changes of its tree, so that it stays JSON.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from random import Random
from typing import Any

WORDS = ("amber kestrel protocol", "text", "type", "content", "role", "user", "assistant", "tool", "name", "id", "input", "function",
         "é", "\u2028", "\0", "", "*", "a.b", "image_url", "data:image/png;base64,aa==", "thinking", "signature", "tool_calls")  # fmt: skip
NUMBERS = (0, -1, 1, 2**31, 2**53, 2**53 + 1, 2**64, 0.5, 1e308, 1e-320, True, False, None)


def damaged(data: bytes, others: Sequence[bytes], random: Random, *, tree: bool) -> bytes:
    """One to three changes."""
    for _ in range(random.randint(1, 3)):
        changed = _in_tree(data, random) if tree and random.randrange(3) else None
        data = _bytes(data, others, random) if changed is None else changed
    return data


def _bytes(data: bytes, others: Sequence[bytes], random: Random) -> bytes:
    at = random.randrange(len(data) + 1)
    end = min(len(data), at + random.choice((0, 1, 2, 8, 64)))
    other = random.choice(others) if others else b""
    start = random.randrange(len(other) + 1)
    patch = random.choice(
        (b"", random.randbytes(1), data[at:end] * 2, other[start : start + random.choice((1, 4, 40))], b"\r\n", b"\n\n")
    )
    return data[:at] + patch + data[end:]


def _in_tree(data: bytes, random: Random) -> bytes | None:
    """Change the tree of one JSON document in the input: all of it, or one line of an event stream. None where there is none."""
    begins = [at + 6 for at in range(len(data)) if data.startswith(b"data: {", at)] or [0 if data[:1] == b"{" else 1]
    begin = random.choice(begins)
    end = data.find(b"\n", begin) if begin > 1 else len(data)
    end = len(data) if end < 0 else end
    try:
        root = json.loads(data[begin:end])
    except (ValueError, RecursionError):
        return None
    holders = _holders(root)
    if not holders:
        return None
    _change(random.choice(holders), random, [value for holder in holders for value in _values(holder)])
    text = json.dumps(root, ensure_ascii=bool(random.randrange(2)))
    return data[:begin] + text.encode("utf-8", "replace") + data[end:]


def _holders(value: Any) -> list[Any]:
    """All objects and lists of a tree."""
    inner = [holder for each in _values(value) for holder in _holders(each)]
    return [value, *inner] if isinstance(value, dict | list) else inner


def _values(value: Any) -> list[Any]:
    return list(value.values()) if isinstance(value, dict) else value if isinstance(value, list) else []


def _change(holder: Any, random: Random, values: list[Any]) -> None:
    """Put a stranger, or a part of the same document, under a key or in a place; or take one away; or nest."""
    word = random.choice(WORDS)
    strangers: tuple[Any, ...] = (word, random.choice(NUMBERS), [], {}, [word], {word: random.choice(WORDS)})
    stranger = random.choice(strangers)
    if values and random.randrange(3) == 0:
        stranger = json.loads(json.dumps(random.choice(values)))
    keys = list(holder) if isinstance(holder, dict) else list(range(len(holder)))
    key = random.choice(keys) if keys and random.randrange(4) else None
    if key is not None and random.randrange(4) == 0:
        del holder[key]
    elif key is not None:
        holder[key] = stranger
    elif isinstance(holder, dict):
        holder[random.choice(WORDS)] = stranger
    else:
        holder.append(stranger)
