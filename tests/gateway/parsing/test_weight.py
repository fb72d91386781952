"""What is parsed in place: told from the bytes, whatever they hold."""

from __future__ import annotations

import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import BadRequest, TooLarge
from gateway.parsing.weight import (
    INLINE_BYTES,
    INLINE_ESCAPES,
    INLINE_QUOTES,
    INLINE_VALUES,
    VALUES,
    bounded,
    light,
    values,
)
from gateway.wire import strict
from gateway.wire.base import WireLimits

TREES = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.text()),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=40,
)


def count(value: object) -> int:
    """All values of a tree but the outermost."""
    items = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return sum(1 + count(item) for item in items)


@given(TREES)
def test_no_document_has_more_values_than_are_counted(tree: object) -> None:
    """The count is an upper bound on the values, in strings it sees none: a comma in a text is no value."""
    body = json.dumps(tree).encode()
    assert values(body) >= count(tree)
    assert values(json.dumps([body.decode()]).encode()) == 1


@given(st.binary(max_size=2000))
def test_any_bytes_have_a_weight(body: bytes) -> None:
    """Whatever a client sends is told to be light or not, without an error."""
    assert light(body)
    bounded(body)


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b"{}", True),
        (json.dumps({"a": "word, " * 30_000}).encode(), True),
        (json.dumps({"a": "x" * (INLINE_BYTES - 9)}).encode(), True),
        (json.dumps({"a": "x" * INLINE_BYTES}).encode(), False),
        (json.dumps({"a": ["b"] * (INLINE_QUOTES // 2)}).encode(), False),
        (json.dumps({"a": "\n" * (INLINE_ESCAPES + 1)}).encode(), False),
        (json.dumps({"a": [1] * (INLINE_VALUES + 1)}).encode(), False),
        (b"[" * 100_000, False),
        (b'{"a":' + b"[]," * 50_000 + b"}", False),
    ],
    ids=["empty", "prose", "just small", "just large", "texts", "escapes", "numbers", "deep", "lists"],
)
def test_what_is_light(body: bytes, *, expected: bool) -> None:
    """One long text is; many texts, escapes, numbers or lists are not."""
    assert light(body) is expected


def test_a_document_of_too_many_values_is_refused_before_it_is_built() -> None:
    """Three bytes a value would take sixty in memory each."""
    with pytest.raises(TooLarge, match=str(VALUES)) as refused:
        bounded(b'{"a":[' + b"[]," * (VALUES + 1) + b"[]]}")
    assert refused.value.code == "too_many_values"
    bounded(json.dumps({"a": "," * (VALUES + 1)}).encode())


def test_the_largest_document_that_is_read_is_within_the_bound() -> None:
    """As many keys as a body may have never meet this bound first."""
    bounded(json.dumps({"k": {str(n): {"x": [n]} for n in range(WireLimits().keys // 2)}}).encode())


def test_what_is_light_is_quick() -> None:
    """The heaviest bodies that are parsed in place: each takes under 5 ms of CPU, where the wrong ones took 20 to 100."""
    heavy = [
        json.dumps({"a": ["b"] * (INLINE_QUOTES // 2 - 4), "c": "x" * 200_000}).encode(),
        json.dumps({"a": [1] * (INLINE_VALUES - 2), "c": "word " * 40_000}).encode(),
        json.dumps({"a": "\n" * INLINE_ESCAPES, "c": "é:" * 30_000}, ensure_ascii=False).encode(),
        json.dumps({"a": "word, [x] {y} :" * 14_000}).encode(),
        b'{"a":"' + b"\\u003a" * INLINE_ESCAPES + b'"}',
    ]
    for body in heavy:
        taken = []
        for _ in range(5):
            before = time.thread_time()
            assert light(body)
            try:
                strict.dumps(strict.loads(body, WireLimits()))
            except BadRequest:
                pytest.fail("a well-formed document")
            taken.append(time.thread_time() - before)
        assert min(taken) < 0.005, body[:40]
