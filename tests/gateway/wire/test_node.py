from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest

from gateway.errors import BadRequest, TooLarge
from gateway.exchange import Channel, Feature, Leaf, Origin, Role, Use
from gateway.wire.node import Found, Node


def at(value: Any, path: str = "here", limit: int = 9) -> Node:
    return Node(value, path, Found(limit))


def test_paths_follow_keys_and_places() -> None:
    """Members are joined by dots, items by brackets, and the root has no name."""
    root = at({"a": [{"b": "x"}]}, "")
    assert root.member("a").items()[0].member("b").path == "a[0].b"


@pytest.mark.parametrize("name", ["two words", "é", "a.b", "", "x" * 65, "a\nb", "a]"])
def test_names_that_are_no_plain_words_stay_out_of_paths(name: str) -> None:
    """A client's key cannot write into our messages, logs and records."""
    with pytest.raises(BadRequest) as caught:
        at({name: 1}).only("a")
    assert caught.value.param == "here.*"
    assert caught.value.message == "here.*: this field is not supported"


@pytest.mark.parametrize(
    ("value", "check"),
    [
        ([], Node.object),
        ({"b": 1}, lambda node: node.only("a")),
        ({}, lambda node: node.member("a")),
        ("x", lambda node: node.has("a")),
        ({}, Node.items),
        (1, Node.string),
        ("c", lambda node: node.choice("a", "b")),
        (None, lambda node: node.choice("a")),
        ("a b", lambda node: node.match(re.compile("[a-z]+"), "a word")),
        ("", Node.base64),
        ("abc", Node.base64),
        ("a b=", Node.base64),
        ("ab-_", Node.base64),
        ("abcd\n", Node.base64),
        (5, Node.base64),
        ("abcd", lambda node: node.base64("abc")),
        ("x", lambda node: node.given("a")),
        (1, Node.flag),
        ("true", Node.flag),
        (True, lambda node: node.integer(0)),
        (1.0, lambda node: node.integer(0)),
        (-1, lambda node: node.integer(0)),
        (2**31, lambda node: node.integer(0)),
        (True, lambda node: node.number(0, 1)),
        ("1", lambda node: node.number(0, 1)),
        (1.01, lambda node: node.number(0, 1)),
        (float("nan"), lambda node: node.number(0, 1)),
        (None, lambda node: node.leaf(Role.USER, Channel.CONTENT, Origin.USER, new=True)),
    ],
)
def test_checks_refuse(value: Any, check: Callable[[Node], Any]) -> None:
    """Every check refuses what it does not want, by its path and without quoting the value."""
    with pytest.raises(BadRequest, match=r"^here"):
        check(at(value))


def test_checks_give_the_value() -> None:
    """Every check hands out the value that it has passed."""
    assert at("a").choice("a", "b") == "a"
    assert at("ab").match(re.compile("[a-z]+"), "a word") == "ab"
    assert at(False).flag() is False
    assert at(3).integer(3, 3) == 3
    assert at(1).number(0, 1) == 1
    assert at("aGk=").base64() == "aGk="
    assert at("data:x,aGkh").base64("aGkh") == "aGkh"
    assert at({"a": None}).has("a")
    assert [at({"a": None, "b": 0}).given(name) for name in "abc"] == [False, True, False]
    assert at({"a": 1}).get("b") is None
    assert at({"a": 1}).only("a", "b").object().get("a") == 1


def test_a_fault_may_have_its_own_words() -> None:
    """An enumerated value can say what it wants instead of listing it."""
    with pytest.raises(BadRequest, match=r"^here: only this$"):
        at("x").choice("a", fault="only this")


def test_findings_are_kept() -> None:
    """Leaves and uses are gathered in order, with their paths."""
    node = at({"k": "v"})
    node.member("k").leaf(Role.USER, Channel.CONTENT, Origin.USER, new=False)
    node.member("k").use(Feature.MEDIA)
    assert node.found.leaves == [
        Leaf("here.k", "v", Role.USER, Channel.CONTENT, Origin.USER, new=False),
    ]
    assert node.found.uses == [Use(Feature.MEDIA, "here.k")]


def test_leaves_are_bounded() -> None:
    """One leaf more than the limit is too large."""
    node = at("x", limit=1)
    node.leaf(Role.USER, Channel.CONTENT, Origin.USER, new=True)
    with pytest.raises(TooLarge, match="more than 1 texts"):
        node.leaf(Role.USER, Channel.CONTENT, Origin.USER, new=True)
