"""Strict JSON: UTF-8 only, one document, no duplicate keys, bounded depth, keys and numbers. Nothing here guesses.

msgspec refuses what JSON forbids (NaN, comments, trailing bytes, byte order marks, lone surrogates) and infinite floats. It does not
refuse duplicate keys, integers beyond 2**53, or NUL in strings, and it raises RecursionError on depth: those are ours. NUL is refused
because C code behind a model server may end a string there: what was screened would not be what is read.
Duplicates are found exactly and cheaply: outside of strings each colon is one key, so the colons must equal the keys that were decoded.
Colons inside of strings are discounted by what was decoded; where that does not settle it, the strings are cut out of the body.
"""

from __future__ import annotations

import re
from typing import Any

import msgspec

from gateway.errors import BadRequest, TooLarge
from gateway.wire.base import WireLimits

MAX_INTEGER = 2**53

_decoder = msgspec.json.Decoder()
_encoder = msgspec.json.Encoder()
_STRINGS = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"', re.DOTALL)


def loads(body: bytes, limits: WireLimits) -> dict[str, Any]:
    """The object that the body holds. Raises BadRequest (``code`` says what is wrong) or TooLarge."""
    try:
        tree = _decoder.decode(body)
    except RecursionError as error:
        raise _too_deep(limits) from error
    except UnicodeDecodeError as error:
        raise BadRequest("the body is not UTF-8", code="not_utf8") from error
    except msgspec.ValidationError as error:  # without a type to hold against, only numbers can fail this way
        raise BadRequest("a number is out of range", code="number_out_of_range") from error
    except msgspec.DecodeError as error:
        raise BadRequest("the body is not one valid JSON document in UTF-8", code="invalid_json") from error
    if not isinstance(tree, dict):
        raise BadRequest("the body is not a JSON object", code="invalid_json")
    try:
        keys = _walk(tree, limits.depth)
    except RecursionError as error:
        raise _too_deep(limits) from error
    if keys > limits.keys:
        raise TooLarge(f"the body has more than {limits.keys} keys", code="too_many_keys")
    if body.count(b":") != keys and _repeats(body, tree, keys):
        raise BadRequest("an object has the same key twice", code="duplicate_key")
    if b"\\u0000" in body and _holds_nul(tree):
        raise BadRequest("a string holds NUL", code="nul_character")
    return tree


def dumps(tree: Any) -> bytes:
    """Our serialisation."""
    return _encoder.encode(tree)


def _too_deep(limits: WireLimits) -> TooLarge:
    return TooLarge(f"the body is nested deeper than {limits.depth} levels", code="json_too_deep")


def _walk(value: Any, depth: int) -> int:
    """Check numbers; the number of keys. Raises RecursionError beyond ``depth``, like the decoder."""
    kind = type(value)
    if kind is dict or kind is list:
        if depth == 0:
            raise RecursionError
        keys, items = (len(value), value.values()) if kind is dict else (0, value)
        for item in items:
            if type(item) is not str:
                keys += _walk(item, depth - 1)
        return keys
    if kind is int and not -MAX_INTEGER <= value <= MAX_INTEGER:
        raise BadRequest("an integer is beyond 2**53", code="number_out_of_range")
    return 0


def _repeats(body: bytes, tree: Any, keys: int) -> bool:
    """Whether a key was lost to another, in a body with more colons than keys."""
    # A lost member takes its colons along. Those of decoded strings are colons of the body, unless one was written as an escape.
    if b"\\u003" not in body and body.count(b":") == keys + _colons(tree):
        return False
    return _STRINGS.sub(b"", body).count(b":") != keys


def _colons(value: Any) -> int:
    """Colons inside of keys and strings."""
    kind = type(value)
    if kind is not dict and kind is not list:
        return 0
    colons, items = ("".join(value).count(":"), value.values()) if kind is dict else (0, value)
    for item in items:
        colons += item.count(":") if isinstance(item, str) else _colons(item)
    return colons


def _holds_nul(value: Any) -> bool:
    if isinstance(value, str):
        return "\x00" in value
    if isinstance(value, dict):
        return any("\x00" in key or _holds_nul(item) for key, item in value.items())
    return isinstance(value, list) and any(_holds_nul(item) for item in value)
