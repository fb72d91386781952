"""Strict JSON: what is refused, under which code, and that duplicates are found exactly."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.errors import BadRequest, TooLarge
from gateway.wire import strict
from gateway.wire.base import WireLimits

LIMITS = WireLimits()

BAD = {
    "empty": (b"", "invalid_json"),
    "spaces only": (b"  ", "invalid_json"),
    "list": (b"[]", "invalid_json"),
    "string": (b'"a"', "invalid_json"),
    "null": (b"null", "invalid_json"),
    "byte order mark": (b"\xef\xbb\xbf{}", "invalid_json"),
    "utf-16": ("{}".encode("utf-16"), "invalid_json"),
    "utf-16 without mark": ('{"a":1}'.encode("utf-16-le"), "invalid_json"),
    "utf-32": ("{}".encode("utf-32"), "invalid_json"),
    "utf-7": (b"+AHsAfQ-", "invalid_json"),
    "invalid byte": (b'{"a":"\xff"}', "not_utf8"),
    "invalid byte in a key": (b'{"\xff":1}', "not_utf8"),
    "overlong": (b'{"a":"\xc0\xaf"}', "not_utf8"),
    "surrogate bytes": (b'{"a":"\xed\xa0\x80"}', "not_utf8"),
    "cesu-8": (b'{"a":"\xed\xa0\xbd\xed\xb8\x80"}', "not_utf8"),
    "beyond unicode": (b'{"a":"\xf5\x80\x80\x80"}', "not_utf8"),
    "lone high surrogate": (b'{"a":"\\ud800"}', "invalid_json"),
    "lone low surrogate": (b'{"a":"\\udc00"}', "invalid_json"),
    "surrogates in reverse": (b'{"a":"\\udc00\\ud800"}', "invalid_json"),
    "lone surrogate in a key": (b'{"\\ud800":1}', "invalid_json"),
    "nan": (b'{"a":NaN}', "invalid_json"),
    "infinity": (b'{"a":-Infinity}', "invalid_json"),
    "infinity written out": (b'{"a":Infinity}', "invalid_json"),
    "infinite below": (b'{"a":-1e999}', "number_out_of_range"),
    "infinite by exponent": (b'{"a":1e999}', "number_out_of_range"),
    "beyond 2**53": (b'{"a":[9007199254740993]}', "number_out_of_range"),
    "below -2**53": (b'{"a":-9007199254740993}', "number_out_of_range"),
    "beyond 64 bits": (b'{"a":' + b"9" * 40 + b"}", "number_out_of_range"),
    "4301 digits": (b'{"a":' + b"9" * 4301 + b"}", "number_out_of_range"),
    "leading zero": (b'{"a":01}', "invalid_json"),
    "comment": (b'{"a":1/* */}', "invalid_json"),
    "line comment": (b'{"a":1}//', "invalid_json"),
    "trailing comma": (b'{"a":1,}', "invalid_json"),
    "trailing bytes": (b'{"a":1}x', "invalid_json"),
    "two documents": (b'{"a":1}{"a":1}', "invalid_json"),
    "single quotes": (b"{'a':1}", "invalid_json"),
    "raw control character": (b'{"a":"\n"}', "invalid_json"),
    "raw nul": (b'{"a":"\x00"}', "invalid_json"),
    "escaped nul": (b'{"a":"\\u0000"}', "nul_character"),
    "escaped nul, nested": (b'{"a":[{"b":["x\\u0000"]}]}', "nul_character"),
    "escaped nul in a key": (b'{"a":{"\\u0000":1}}', "nul_character"),
    "duplicate": (b'{"a":1,"a":2}', "duplicate_key"),
    "duplicate by escape": (b'{"role":"a","r\\u006fle":"b"}', "duplicate_key"),
    "duplicate, nested": (b'{"a":[{"b":{"c":1,"c":1}}]}', "duplicate_key"),
    "duplicate among colons in strings": (b'{"a:":":","a:":":\\":"}', "duplicate_key"),
    "duplicate behind an escaped colon": (b'{"a":1,"a":"\\u003a"}', "duplicate_key"),
    "duplicate behind an escaped capital colon": (b'{"a":1,"a":"\\u003A"}', "duplicate_key"),
    "duplicate whose colons are lost": (b'{"a":"::","b":1,"a":"x"}', "duplicate_key"),
    "duplicate of other case in the escape": (b'{"a\\u006E":1,"a\\u006e":2}', "duplicate_key"),
    "duplicate empty key": (b'{"":1,"":2}', "duplicate_key"),
}


@pytest.mark.parametrize(("body", "code"), BAD.values(), ids=BAD)
def test_what_is_not_strict_json_is_refused(body: bytes, code: str) -> None:
    """Each fault is a 400 with its code."""
    with pytest.raises(BadRequest) as caught:
        strict.loads(body, LIMITS)
    assert (caught.value.status, caught.value.code) == (400, code)


def deep(levels: int, opening: bytes = b"[", closing: bytes = b"]") -> bytes:
    """An object that holds lists, ``levels`` levels in all."""
    return b'{"a":' + opening * (levels - 1) + closing * (levels - 1) + b"}"


SHAPES = [(b"[", b"]"), (b'{"a":', b"}")]


@pytest.mark.parametrize("levels", [65, 500, 100_000])
@pytest.mark.parametrize(("opening", "closing"), SHAPES)
def test_depth_beyond_the_limit_is_too_large(levels: int, opening: bytes, closing: bytes) -> None:
    """Depth is bounded at any size, also where the decoder itself gives up."""
    body = deep(levels, opening, closing).replace(b":}", b":1}")
    with pytest.raises(TooLarge, match="64") as caught:
        strict.loads(body, LIMITS)
    assert (caught.value.status, caught.value.code) == (413, "json_too_deep")


def test_unclosed_depth_does_not_crash() -> None:
    """A flood of opening brackets is answered, not an exception of the decoder's."""
    with pytest.raises(BadRequest):
        strict.loads(b'{"a":' * 100_000, LIMITS)


def test_depth_at_the_limit_is_accepted() -> None:
    """The limit itself is allowed."""
    assert strict.loads(deep(64), LIMITS)
    assert strict.loads(b'{"a":' * 64 + b"1" + b"}" * 64, LIMITS)


def test_keys_beyond_the_limit_are_too_large() -> None:
    """Keys are counted over all objects together."""
    limits = WireLimits(keys=3)
    assert strict.loads(b'{"a":[{"b":1},{"b":2}]}', limits)
    with pytest.raises(TooLarge, match="3") as caught:
        strict.loads(b'{"a":[{"b":1},{"b":2,"c":3}]}', limits)
    assert caught.value.code == "too_many_keys"


def test_what_is_strict_json_is_read() -> None:
    """Numbers at the edge, colons and quotes in strings, astral characters, an escaped backslash before u0000."""
    body = rb'{"a":9007199254740992,"b":-9007199254740992,"c":"x\":y:\\","d":"\ud83d\ude00","e:":[null,true,1.5],"f":"\\u0000"}'
    tree = strict.loads(body, LIMITS)
    assert tree == {
        "a": 2**53,
        "b": -(2**53),
        "c": 'x":y:\\',
        "d": "\U0001f600",
        "e:": [None, True, 1.5],
        "f": "\\u0000",
    }


def test_our_serialisation_is_compact_utf_8() -> None:
    """What goes out is the tree, in its order, without escapes that JSON does not need."""
    assert strict.dumps({"b": ["é\n", 1], "a": None}) == '{"b":["é\\n",1],"a":null}'.encode()


texts = st.text(st.sampled_from('a:"\\{}b,[é'), max_size=4)
escapes = st.integers(0, 2**16)
values: st.SearchStrategy[Any] = st.recursive(
    st.one_of(texts, st.integers(-9, 9), st.none(), st.booleans()),
    lambda inner: (
        st.lists(inner, max_size=3) | st.lists(st.tuples(texts, inner), max_size=4).map(lambda pairs: ("object", pairs))
    ),
    max_leaves=12,
)


def quoted(text: str, bits: int) -> str:
    """A JSON string of a text, in which each bit that is set writes a character as its escape, in small or capital digits."""
    out = ""
    for place, character in enumerate(text):
        form = bits >> 2 * place & 3
        code = f"{ord(character):04x}"
        plain = json.dumps(character, ensure_ascii=False)[1:-1]
        out += plain if form < 2 else "\\u" + (code if form == 2 else code.upper())
    return f'"{out}"'


def written(value: Any, bits: int) -> str:
    """JSON of a value whose objects are lists of pairs, so that keys may come twice, with some characters escaped."""
    if isinstance(value, tuple):
        pairs = (
            f"{quoted(key, bits >> place)}:{written(item, bits >> place)}" for place, (key, item) in enumerate(value[1])
        )
        return "{" + ",".join(pairs) + "}"
    if isinstance(value, list):
        return "[" + " , ".join(written(item, bits >> place) for place, item in enumerate(value)) + "]"
    return quoted(value, bits) if isinstance(value, str) else json.dumps(value)


def doubled(value: Any) -> bool:
    """The slow oracle: whether an object anywhere has a key twice."""
    if isinstance(value, tuple):
        keys = [key for key, _ in value[1]]
        return len(set(keys)) != len(keys) or any(doubled(item) for _, item in value[1])
    return isinstance(value, list) and any(map(doubled, value))


@given(values, escapes)
@settings(max_examples=600, deadline=None)
def test_duplicates_are_found_exactly(value: Any, bits: int) -> None:
    """A body is refused for duplicates if and only if an object in it has a key twice; else it is read as the standard library does."""
    body = written(("object", [("root", value)]), bits).encode()
    if doubled(value):
        with pytest.raises(BadRequest) as caught:
            strict.loads(body, LIMITS)
        assert caught.value.code == "duplicate_key"
    else:
        assert strict.loads(body, LIMITS) == json.loads(body)


def pairs_without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """The slow oracle on bytes: the standard library's hook."""
    if len(dict(pairs)) != len(pairs):
        raise ValueError
    return dict(pairs)


DOCUMENT = b'{"a:":[1,{"b":"\\u003a:","c":null}],"d":{"e":"\\"x:"}}'


# Without the letters of exponents and surrogates, and without zeros: there the standard library is too lenient to be an oracle.
@given(
    place=st.integers(0, len(DOCUMENT) - 1),
    length=st.integers(0, 6),
    patch=st.text(st.sampled_from('abc:"\\,{}[]u31 '), max_size=8),
)
@settings(max_examples=600, deadline=None)
def test_damaged_documents_are_read_as_the_standard_library_does(place: int, length: int, patch: str) -> None:
    """Whatever is cut out of a document or put into it: it is read exactly where the standard library reads an object without repeats."""
    body = DOCUMENT[:place] + patch.encode() + DOCUMENT[place + length :]
    try:
        expected = json.loads(body, object_pairs_hook=pairs_without_repeats)
    except ValueError:
        expected = None
    if isinstance(expected, dict):
        assert strict.loads(body, LIMITS) == expected
    else:
        with pytest.raises(BadRequest):
            strict.loads(body, LIMITS)


@given(st.binary(max_size=40))
def test_any_bytes_are_read_or_refused(body: bytes) -> None:
    """No other exception than the typed one, whatever the bytes."""
    try:
        tree = strict.loads(b'{"a":' + body + b"}", LIMITS)
    except BadRequest:
        return
    assert strict.loads(strict.dumps(tree), LIMITS) == tree
