"""Nodes: values are handed out only through checks, and every fault names its path."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest

from gateway.errors import BadRequest, TooLarge
from gateway.exchange import Channel, Feature, Leaf, Origin, Role, Use
from gateway.wire.fields import ID, Found, Node, Voice, plain

USER = Voice(Role.USER, Channel.CONTENT, Origin.USER, new=True)


def root(value: Any, limit: int = 100) -> Node:
    """A node at the top of a body."""
    return Node(value, "", Found(limit))


WRONG: dict[str, tuple[Any, Callable[[Node], Any]]] = {
    "object": ([], Node.object),
    "only": ({"b": 1}, lambda node: node.only("a")),
    "only of a list": ([], lambda node: node.only("a")),
    "member": ({}, lambda node: node.member("b")),
    "items": ("abc", Node.items),
    "string": (5, Node.string),
    "choice": ("c", lambda node: node.choice("a", "b")),
    "choice of a number": (1, lambda node: node.choice("a")),
    "match": ("a b", lambda node: node.match(ID, "an id")),
    "match of a line end": ("a\n", lambda node: node.match(ID, "an id")),
    "match too long": ("a" * 65, lambda node: node.match(ID, "an id")),
    "match empty": ("", lambda node: node.match(ID, "an id")),
    "base64 empty": ("", Node.base64),
    "base64 unpadded": ("abc", Node.base64),
    "base64 with words": ("a b=", Node.base64),
    "base64 url-safe": ("ab-_", Node.base64),
    "flag": ("true", Node.flag),
    "flag of a number": (1, Node.flag),
    "integer of a string": ("64", lambda node: node.integer(0)),
    "integer of a float": (1.0, lambda node: node.integer(0)),
    "integer of a flag": (True, lambda node: node.integer(0)),
    "integer below": (-1, lambda node: node.integer(0)),
    "integer above": (3, lambda node: node.integer(0, 2)),
    "number of a flag": (False, lambda node: node.number(0, 1)),
    "number of a string": ("1", lambda node: node.number(0, 1)),
    "number above": (1.1, lambda node: node.number(0, 1)),
    "text": (None, lambda node: node.text(USER)),
    "tree": (["a"], lambda node: node.tree(USER)),
}


@pytest.mark.parametrize(("value", "check"), WRONG.values(), ids=WRONG)
def test_a_wrong_value_names_its_path(value: Any, check: Callable[[Node], Any]) -> None:
    """The fault carries the path in message and ``param``."""
    with pytest.raises(BadRequest) as caught:
        check(root({"list": [value]}).member("list").items()[0])
    assert caught.value.param in {"list[0]", "list[0].b"}
    assert caught.value.message.startswith(f"{caught.value.param}: ")


def test_right_values_are_handed_out() -> None:
    """Each check returns the value that it vetted."""
    body = {"e": "a", "i": 1, "n": 0.5, "f": True, "id": "call_1-A", "m": "aGk=", "null": None}
    node = root(body).only(*body)
    assert node.member("e").choice("a", "b") == "a"
    assert node.member("i").integer(1, 1) == node.member("i").number(0, 2) == 1
    assert node.member("n").number(0, 1) == 0.5
    assert node.member("f").flag() is True
    assert node.member("id").match(ID, "an id") == "call_1-A"
    assert node.member("m").base64() == "aGk="
    assert node.member("e").base64("aGkh") == "aGkh"
    assert (node.has("e"), node.has("null"), node.has("missing")) == (True, False, False)
    assert node.found.uses == [Use(Feature.MEDIA, "m"), Use(Feature.MEDIA, "e")]


def test_a_message_of_its_own_for_a_choice() -> None:
    """A dialect may say more than the list of values."""
    with pytest.raises(BadRequest, match="only this one"):
        root("b").choice("a", fault="only this one")


def test_texts_become_leaves() -> None:
    """A text is a leaf with the voice that spoke it."""
    node = root({"a": "x"})
    assert node.member("a").text(USER.on(Channel.REASONING)) == "x"
    assert node.found.leaves == [Leaf("a", "x", Role.USER, Channel.REASONING, Origin.USER, True)]


def test_free_json_gives_up_every_string() -> None:
    """Keys and values are leaves; numbers, flags and null are kept; a key that is no plain word does not enter the path."""
    value = {"enum": ["a", 1, None, {"b c": True}], "é": "d"}
    node = root({"p": value})
    assert node.member("p").tree(USER) == value
    assert [(leaf.path, leaf.text) for leaf in node.found.leaves] == [
        ("p.enum~key", "enum"),
        ("p.enum[0]", "a"),
        ("p.enum[3].*~key", "b c"),
        ("p.*~key", "é"),
        ("p.*", "d"),
    ]


def test_the_number_of_texts_is_bounded() -> None:
    """One more than the limit is too large, and the fault names where."""
    node = root({"p": {"a": ["x", "y", "z"]}}, limit=3)
    with pytest.raises(TooLarge) as caught:
        node.member("p").tree(USER)
    assert caught.value.param == "p.a[2]"


@pytest.mark.parametrize(
    ("name", "shown"), [("a-b_1", "a-b_1"), ("a b", "*"), ("é", "*"), ("a" * 65, "*"), ("1", "*"), ("a\nb", "*")]
)
def test_only_plain_words_enter_paths(name: str, shown: str) -> None:
    """Keys are the client's words, and paths get into logs and answers."""
    assert plain(name) == shown


def test_ids_leave_no_room_for_words() -> None:
    """The pattern of ids takes no spaces, no dots and at most 64 characters."""
    assert isinstance(ID, re.Pattern)
    assert ID.fullmatch("a" * 64)
    assert not ID.fullmatch("a.b")
