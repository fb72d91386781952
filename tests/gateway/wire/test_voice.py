"""Voices: how texts become leaves, and that free JSON gives up every string."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import BadRequest, TooLarge
from gateway.exchange import Channel, Leaf, Origin, Role
from gateway.wire.node import Found, Node
from gateway.wire.voice import OPERATOR, Voice, leaf, tree, turn_start

USER = Voice("user", Role.USER, Origin.USER, new=False)


def at(value: Any, limit: int = 1000) -> Node:
    return Node(value, "c", Found(limit))


def test_a_text_is_a_leaf_of_its_voice() -> None:
    """Role, origin and age are the voice's; the channel is content unless another is named."""
    node = at("x")
    assert leaf(node, USER) == leaf(node, OPERATOR, Channel.PARAMETER) == "x"
    assert node.found.leaves == [
        Leaf("c", "x", Role.USER, Channel.CONTENT, Origin.USER, new=False),
        Leaf("c", "x", Role.SYSTEM, Channel.PARAMETER, Origin.OPERATOR, new=True),
    ]


def test_a_text_must_be_a_string() -> None:
    """Anything else is refused by its path."""
    with pytest.raises(BadRequest, match=r"^c: must be a string$"):
        leaf(at(["x"]), USER)


def test_third_party_words_keep_role_and_age() -> None:
    """A document in a user's turn is not the user's own."""
    assert USER.third_party("document") == Voice("document", Role.USER, Origin.THIRD_PARTY, new=False)


def test_free_json_gives_up_every_string() -> None:
    """Keys and values are leaves in order; numbers, flags and null are kept; a key that is no plain word does not enter the path."""
    value = {"enum": ["a", 1, None, {"b c": True}, ["b"]], "é": "d", "n": {"m": 2.5}}
    node = at(value)
    assert tree(node, USER, Channel.TOOL_CALL) == value
    assert [(leaf.path, leaf.text) for leaf in node.found.leaves] == [
        ("c.enum~key", "enum"),
        ("c.enum[0]", "a"),
        ("c.enum[3].*~key", "b c"),
        ("c.enum[4][0]", "b"),
        ("c.*~key", "é"),
        ("c.*", "d"),
        ("c.n~key", "n"),
        ("c.n.m~key", "m"),
    ]
    assert {(leaf.role, leaf.channel, leaf.origin, leaf.new) for leaf in node.found.leaves} == {
        (Role.USER, Channel.TOOL_CALL, Origin.USER, False)
    }


@pytest.mark.parametrize("value", ["x", 5, None, True, ["x", 1]])
def test_free_json_may_be_any_value(value: Any) -> None:
    """A bare value is free JSON too: a string is one leaf at the place itself."""
    node = at(value)
    assert tree(node, USER, Channel.TOOL_CALL) == value
    assert [leaf.path for leaf in node.found.leaves] == {"x": ["c"]}.get(
        str(value), ["c[0]"] if value == ["x", 1] else []
    )


def test_leaves_are_made_whole() -> None:
    """A leaf of free JSON equals, and hashes like, one that is made in the ordinary way: no field is left unset."""
    node = at({"k": "v"})
    tree(node, USER, Channel.TOOL_DEFINITION)
    made = [
        Leaf("c.k~key", "k", Role.USER, Channel.TOOL_DEFINITION, Origin.USER, new=False),
        Leaf("c.k", "v", Role.USER, Channel.TOOL_DEFINITION, Origin.USER, new=False),
    ]
    assert node.found.leaves == made
    assert [hash(leaf) for leaf in node.found.leaves] == [hash(leaf) for leaf in made]


@pytest.mark.parametrize("value", [{"a": ["x", "y", "z"]}, {"a": 1, "b": 2, "c": 3, "d": 4}, ["x"] * 4])
def test_the_number_of_texts_is_bounded(value: Any) -> None:
    """One more than the limit is too large, for keys and for values."""
    with pytest.raises(TooLarge, match="more than 3 texts") as caught:
        tree(at(value, limit=3), USER, Channel.TOOL_CALL)
    assert caught.value.param in {"c.a[2]", "c.d~key", "c[3]"}


def strings(value: Any) -> list[str]:
    """The slow oracle: every string of a value, keys included, in order."""
    if isinstance(value, str):
        return [value]
    if isinstance(value, list):
        return [text for item in value for text in strings(item)]
    if isinstance(value, dict):
        return [text for key, item in value.items() for text in (key, *strings(item))]
    return []


trees = st.recursive(
    st.text(max_size=5) | st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
)


@given(trees)
def test_no_string_of_free_json_is_missed(value: Any) -> None:
    """The leaves are exactly the strings of the tree, in order, and the tree comes back equal."""
    node = at(value)
    assert tree(node, USER, Channel.TOOL_CALL) == value
    assert [leaf.text for leaf in node.found.leaves] == strings(value)


@pytest.mark.parametrize(
    ("roles", "start"), [("u", 0), ("ua", 0), ("uau", 2), ("uaua", 2), ("uauaa", 2), ("a", 0), ("uat", 2), ("", 0)]
)
def test_a_turn_starts_after_the_last_finished_answer(roles: str, start: int) -> None:
    """A prefill at the end belongs to the turn: it cannot make the question before it look old."""
    names = {"u": "user", "a": "assistant", "t": "tool"}
    assert turn_start([names[role] for role in roles]) == start
