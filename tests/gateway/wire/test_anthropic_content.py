from __future__ import annotations

from typing import Any

import pytest

from gateway.errors import BadRequest
from gateway.exchange import Channel, Feature, Leaf, Origin, Role, Use
from gateway.wire.anthropic_content import BLOCKS, PLACES, block, cache_control, content
from gateway.wire.node import Found, Node
from gateway.wire.treatment import Treatment
from gateway.wire.voice import Voice

USER = Voice("user", Role.USER, Origin.USER, new=True)
ASSISTANT = Voice("assistant", Role.ASSISTANT, Origin.MODEL_HISTORY, new=False)
PNG = {"type": "base64", "media_type": "image/png", "data": "eA=="}

# One of each block type, as small as it may be.
SMALLEST: dict[str, dict[str, Any]] = {
    "text": {"text": "a"},
    "image": {"source": PNG},
    "document": {"source": {"type": "text", "media_type": "text/plain", "data": "a"}},
    "search_result": {"source": "a", "title": "b", "content": []},
    "tool_result": {"tool_use_id": "t"},
    "tool_use": {"id": "t", "name": "a", "input": {}},
    "thinking": {"thinking": "a", "signature": ""},
    "redacted_thinking": {"data": "eA=="},
}


def at(value: Any) -> Node:
    return Node(value, "c", Found(1000))


def refused(value: Any, voice: Voice = USER) -> str | None:
    """The path that a block is refused by."""
    with pytest.raises(BadRequest) as caught:
        block(at(value), voice)
    return caught.value.param


def test_a_string_is_a_leaf_of_its_voice() -> None:
    """A content that is one string is one leaf with the voice's role, origin and age."""
    node = at("hello")
    assert content(node, ASSISTANT) == "hello"
    assert node.found.leaves == [Leaf("c", "hello", Role.ASSISTANT, Channel.CONTENT, Origin.MODEL_HISTORY, new=False)]


@pytest.mark.parametrize("kind", sorted(PLACES))
def test_blocks_have_their_places(kind: str) -> None:
    """Every block type is taken where the table says so, comes through unchanged, and is refused anywhere else."""
    value = {"type": kind, **SMALLEST[kind]}
    for place in ("user", "assistant", "tool_result", "document", "system"):
        voice = Voice(place, Role.USER, Origin.USER, new=True)
        if place in PLACES[kind]:
            assert block(at(value), voice) == value
        else:
            assert refused(value, voice) == "c.type"


@pytest.mark.parametrize("kind", sorted(PLACES))
def test_unknown_keys_and_missing_keys_are_refused(kind: str) -> None:
    """A block with a key more, or a required key less, is refused by that key's path."""
    voice = USER if "user" in PLACES[kind] else ASSISTANT
    value = {"type": kind, **SMALLEST[kind]}
    assert refused({**value, "hidden": "x"}, voice) == "c.hidden"
    for name in SMALLEST[kind]:
        assert refused({key: item for key, item in value.items() if key != name}, voice) == f"c.{name}"


@pytest.mark.parametrize("kind", sorted(set(PLACES) - {"thinking", "redacted_thinking"}))
def test_cache_marks_are_inert(kind: str) -> None:
    """A cache mark is kept as it is enumerated, null too."""
    voice = USER if "user" in PLACES[kind] else ASSISTANT
    for mark in ({"type": "ephemeral", "ttl": "1h"}, {"type": "ephemeral"}, None):
        value = {"type": kind, **SMALLEST[kind], "cache_control": mark}
        assert block(at(value), voice) == value
    assert (
        refused({"type": kind, **SMALLEST[kind], "cache_control": {"type": "words"}}, voice) == "c.cache_control.type"
    )
    assert cache_control(at(None)) is None


def test_the_table_of_blocks_says_what_happens() -> None:
    """A block has leaves, or reported uses, exactly where the exported table says so."""
    pdf = {"source": {"type": "base64", "media_type": "application/pdf", "data": "eA=="}, "title": "t"}
    richer = {"document": pdf, "thinking": {"thinking": "a", "signature": "eA=="}, "tool_result": {"content": "a"}}
    assert set(BLOCKS) == set(PLACES)
    for kind, treatments in BLOCKS.items():
        node = at({"type": kind, **SMALLEST[kind], **richer.get(kind, {})})
        block(node, USER if "user" in PLACES[kind] else ASSISTANT)
        assert bool(node.found.leaves) == (Treatment.SCREENED in treatments), kind
        assert bool(node.found.uses) == (Treatment.REPORTED in treatments), kind


def test_documents_and_results_are_third_party() -> None:
    """What a user hands on is not counted as the user's words; results of tools have the tool's role."""
    node = at(
        [
            {"type": "document", "title": "1", "context": "2", "source": {"type": "content", "content": "3"}},
            {"type": "search_result", "source": "4", "title": "5", "content": [{"type": "text", "text": "6"}]},
            {"type": "tool_result", "tool_use_id": "t", "content": [{"type": "document", **SMALLEST["document"]}]},
            {"type": "text", "text": "7"},
        ]
    )
    content(node, USER)
    said = {leaf.text: (leaf.role, leaf.origin) for leaf in node.found.leaves}
    assert said.pop("7") == (Role.USER, Origin.USER)
    assert said.pop("a") == (Role.TOOL, Origin.THIRD_PARTY)
    assert set(said.values()) == {(Role.USER, Origin.THIRD_PARTY)}
    assert sorted(said) == list("123456")


def test_titles_that_are_null_are_left_out() -> None:
    """Null stands for absent in a document's optional texts and settings."""
    value = {"type": "document", **SMALLEST["document"]}
    assert block(at({**value, "title": None, "context": None, "citations": None}), USER) == value
    assert block(at({**value, "citations": {}}), USER) == {**value, "citations": {"enabled": False}}


@pytest.mark.parametrize("source", [{"type": "url", "url": "x"}, {"type": "file", "file_id": "x"}, {"type": "words"}])
@pytest.mark.parametrize("kind", ["image", "document"])
def test_sources_outside_of_the_request_are_refused(kind: str, source: dict[str, str]) -> None:
    """Nobody could screen what is fetched by an address or an id: always refused by its path."""
    assert refused({"type": kind, "source": source}) == "c.source.type"


@pytest.mark.parametrize("data", ["a b", "eA=\n", "é", "====", 5, None])
def test_media_leaves_no_room_for_words(data: object) -> None:
    """Inline bytes are base64 and of a listed type; the use of media is reported."""
    for kind, media in (("image", "image/png"), ("document", "application/pdf")):
        value = {"type": kind, "source": {"type": "base64", "media_type": media, "data": data}}
        assert refused(value) == "c.source.data"
    node = at({"type": "image", "source": PNG})
    block(node, USER)
    assert node.found.uses == [Use(Feature.MEDIA, "c.source")]


@pytest.mark.parametrize("kind", ["image", "document"])
def test_media_types_are_listed(kind: str) -> None:
    """Other media types are refused."""
    value = {"type": kind, "source": {"type": "base64", "media_type": "text/html", "data": "eA=="}}
    assert refused(value) == "c.source.media_type"


def test_opaque_values_are_reported_unless_empty() -> None:
    """A signature is an opaque use at its path, an empty one is nothing, and words are refused."""
    for signature, uses in (("c2ln", [Use(Feature.OPAQUE, "c.signature")]), ("", [])):
        node = at({"type": "thinking", "thinking": "a", "signature": signature})
        block(node, ASSISTANT)
        assert node.found.uses == uses
        assert [leaf.channel for leaf in node.found.leaves] == [Channel.REASONING]
    assert refused({"type": "redacted_thinking", "data": "some words"}, ASSISTANT) == "c.data"


def test_calls_are_screened_whole() -> None:
    """The name and every string and key of the input of a call are leaves of the tool-call channel."""
    node = at(
        {"type": "tool_use", "id": "t", "name": "n", "input": {"k": [{"l": "v"}, 1]}, "caller": {"type": "direct"}}
    )
    block(node, ASSISTANT)
    assert [(leaf.path, leaf.text) for leaf in node.found.leaves] == [
        ("c.name", "n"),
        ("c.input.k~key", "k"),
        ("c.input.k[0].l~key", "l"),
        ("c.input.k[0].l", "v"),
    ]
    assert {leaf.channel for leaf in node.found.leaves} == {Channel.TOOL_CALL}


@pytest.mark.parametrize(
    ("caller", "path"),
    [
        ({"type": "some words"}, "c.caller.type"),
        ({"type": "direct", "tool_id": "x"}, "c.caller.tool_id"),
        ("x", "c.caller"),
    ],
)
def test_only_direct_callers(caller: object, path: str) -> None:
    """A call that a server tool made is refused, and so are words in place of the caller's type."""
    assert refused({"type": "tool_use", **SMALLEST["tool_use"], "caller": caller}, ASSISTANT) == path


@pytest.mark.parametrize(
    ("value", "path"),
    [
        ("x", "c"),
        ({}, "c.type"),
        ({"type": 5}, "c.type"),
        ({"type": "text", "text": None}, "c.text"),
        ({"type": "text", "text": "x", "citations": [{}]}, "c.citations"),
        ({"type": "tool_result", "tool_use_id": "a b"}, "c.tool_use_id"),
        ({"type": "tool_result", "tool_use_id": "a", "is_error": 0}, "c.is_error"),
        ({"type": "tool_result", "tool_use_id": "a", "content": {}}, "c.content"),
        ({"type": "tool_result", "tool_use_id": "a", "content": [{"type": "tool_use"}]}, "c.content[0].type"),
        (
            {"type": "document", "source": {"type": "text", "media_type": "text/html", "data": ""}},
            "c.source.media_type",
        ),
        ({"type": "document", "citations": {"enabled": True}, **SMALLEST["document"]}, "c.citations.enabled"),
        ({"type": "document", "citations": {"style": 1}, **SMALLEST["document"]}, "c.citations.style"),
        ({"type": "search_result", "source": "a", "title": "b", "content": "c"}, "c.content"),
        ({"type": "search_result", "source": "a", "title": "b", "content": [{"type": "image"}]}, "c.content[0].type"),
    ],
)
def test_faults_name_their_path(value: object, path: str) -> None:
    """What is wrong in a block is refused by its path."""
    assert refused(value) == path
