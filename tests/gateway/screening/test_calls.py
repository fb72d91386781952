"""Reading tool calls: what is judged and what is sent."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.screening.calls import CallText, read_call, utf8_length

SCALARS = st.sampled_from([None, True, 0, -7, 10**30, 1.5, -0.0, 1e-300]) | st.text(max_size=6)
NESTED = SCALARS | st.lists(SCALARS, max_size=3) | st.dictionaries(st.text(max_size=3), SCALARS, max_size=2)
TREES = st.dictionaries(st.text(max_size=3), NESTED | st.lists(NESTED, max_size=2), max_size=3)


def strings(tree: Any) -> list[str]:
    """Every string and key of a tree."""
    if isinstance(tree, dict):
        return [*tree, *(text for value in tree.values() for text in strings(value))]
    if isinstance(tree, list):
        return [text for value in tree for text in strings(value)]
    return [tree] if isinstance(tree, str) else []


@settings(max_examples=500, deadline=None, derandomize=True, database=None)
@given(TREES, st.booleans())
def test_everything_that_is_sent_is_judged(tree: dict[str, Any], ascii_only: bool) -> None:
    """Arguments keep their meaning and order, and every string of what is sent stands decoded in the judged text."""
    raw = json.dumps(tree, ensure_ascii=ascii_only)
    call = read_call("tool", raw)
    assert call is not None
    sent = json.loads(call.arguments)
    assert sent == json.loads(raw)
    assert list(sent) == list(json.loads(raw))
    assert call.judged.startswith("tool")
    assert all(text in call.judged for text in strings(sent))


@pytest.mark.parametrize(
    ("raw", "arguments", "judged"),
    [
        ("", "{}", "f"),
        (" \n", "{}", "f"),
        ('{ "a" : [true, null, 1.5] }', '{"a":[true,null,1.5]}', "f\n1.5\na"),
        ('{"a": "amber", "b": "kestrel"}', '{"a":"amber","b":"kestrel"}', "f\namber\nkestrel\na\nb"),
        ('{"a": "x\\ny"}', '{"a":"x\\ny"}', 'f\nx\ny\na\n{"a":"x\\ny"}'),
        ('{"\\u0061": 1, "a": 2}', '{"a":2}', "f\n2\na"),
    ],
)
def test_judged_text(raw: str, arguments: str, judged: str) -> None:
    """Name, values, keys, and the serialisation where it holds escapes; of duplicate keys the last counts for everybody."""
    assert read_call("f", raw) == CallText(arguments, judged)


@pytest.mark.parametrize(
    "raw",
    [
        '{"a": 1',
        "[1]",
        '"text"',
        "{} {}",
        '{"a": NaN}',
        '{"a": 1e999}',
        '{"a": "\\ud800"}',
        '{"a": "\ud800"}',
        '{"a": ' + "1" * 5000 + "}",
        '{"a":' * 5000 + "1" + "}" * 5000,
    ],
)
def test_what_is_no_object_is_not_a_call(raw: str) -> None:
    """Incomplete, of another kind, not Unicode, or beyond any sane number or depth: None, never an exception."""
    assert read_call("f", raw) is None


def test_utf8_length() -> None:
    """Bytes, not characters; a lone surrogate is counted and not raised over."""
    assert [utf8_length(text) for text in ("ab", "é", "\U0001f600", "\ud800")] == [2, 2, 4, 3]
