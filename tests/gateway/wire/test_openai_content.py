"""Content of messages: which parts a role may speak in, media inline only, and nothing dropped silently."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.errors import BadRequest
from gateway.exchange import Channel, Feature, Origin, Role, Use
from gateway.wire.node import Found, Node
from gateway.wire.openai_content import FILES, IMAGES, PARTS, content
from gateway.wire.voice import Voice

DATA = "aGk="
SAMPLES: dict[str, Any] = {
    "text": "t",
    "refusal": "r",
    "image_url": {"url": f"data:image/png;base64,{DATA}", "detail": "low"},
    "input_audio": {"data": DATA, "format": "wav"},
    "file": {"filename": "f.pdf", "file_data": f"data:application/pdf;base64,{DATA}"},
}
MEDIA = {"image_url": "content[0].image_url.url", "input_audio": "content[0].input_audio.data"}
MEDIA["file"] = "content[0].file.file_data"


def vet(value: Any, role: str = "user") -> tuple[Any, Found]:
    """What is sent on, and what was found."""
    found = Found(99)
    voice = Voice(role, Role.USER, Origin.USER, new=True)
    return content(Node(value, "content", found), voice), found


def part(kind: str, value: Any = None) -> dict[str, Any]:
    """One part of a type."""
    return {"type": kind, kind: SAMPLES[kind] if value is None else value}


def test_a_string_is_one_leaf() -> None:
    """Also an empty one."""
    for text in ("hello", ""):
        out, found = vet(text)
        assert out == text
        assert [(leaf.path, leaf.text, leaf.channel) for leaf in found.leaves] == [("content", text, Channel.CONTENT)]


@pytest.mark.parametrize("role", sorted(set().union(*PARTS.values())))
@pytest.mark.parametrize("kind", SAMPLES)
def test_each_role_has_its_parts(kind: str, role: str) -> None:
    """A part is sent on as it is where the table says so, and refused by its path elsewhere."""
    if role in PARTS[kind]:
        assert vet([part(kind)], role)[0] == [part(kind)]
        return
    with pytest.raises(BadRequest) as caught:
        vet([part(kind)], role)
    assert caught.value.param == "content[0].type"


def test_the_table_names_every_part() -> None:
    """The samples of this file are all parts that there are."""
    assert SAMPLES.keys() == PARTS.keys()


def test_words_of_parts_are_leaves() -> None:
    """Text, a refusal, and the name of a file, each in its channel."""
    spoken = vet([part("text"), part("refusal")], "assistant")[1].leaves
    assert [(leaf.path, leaf.text, leaf.channel) for leaf in spoken] == [
        ("content[0].text", "t", Channel.CONTENT),
        ("content[1].refusal", "r", Channel.REFUSAL),
    ]
    named = vet([part("file")])[1].leaves
    assert [(leaf.path, leaf.text, leaf.channel) for leaf in named] == [
        ("content[0].file.filename", "f.pdf", Channel.PARAMETER)
    ]


@pytest.mark.parametrize(("kind", "path"), MEDIA.items())
def test_media_are_reported(kind: str, path: str) -> None:
    """No control can read them, so a profile may refuse them."""
    assert vet([part(kind)])[1].uses == [Use(Feature.MEDIA, path)]


def test_every_listed_media_type_is_taken() -> None:
    """Images and files, without detail or name too."""
    for kind in IMAGES:
        image = part("image_url", {"url": f"data:{kind};base64,{DATA}", "detail": None})
        assert vet([image])[0][0]["image_url"] == {"url": f"data:{kind};base64,{DATA}"}
    for kind in FILES:
        file = part("file", {"file_data": f"data:{kind};base64,{DATA}"})
        assert vet([file])[0] == [file]


FAULTS: dict[str, tuple[Any, str]] = {
    "a number": (5, "content"),
    "null": (None, "content"),
    "an object": ({"type": "text", "text": "x"}, "content"),
    "no parts": ([], "content"),
    "a bare string among parts": (["x"], "content[0]"),
    "no type": ([{"text": "x"}], "content[0].type"),
    "type a number": ([{"type": 1}], "content[0].type"),
    "unknown type": ([{"type": "input_text", "text": "x"}], "content[0].type"),
    "a video": ([{"type": "video_url", "video_url": {"url": "x"}}], "content[0].type"),
    "no text": ([{"type": "text"}], "content[0].text"),
    "text a list": ([{"type": "text", "text": ["x"]}], "content[0].text"),
    "another key": ([{"type": "text", "text": "x", "cache_control": {}}], "content[0].cache_control"),
    "a key of another part": ([{**part("text"), "refusal": "x"}], "content[0].refusal"),
    "a key that is no word": ([{**part("text"), "amber kestrel": "x"}], "content[0].*"),
    "image a string": ([part("image_url", f"data:image/png;base64,{DATA}")], "content[0].image_url"),
    "image with another key": ([part("image_url", {"url": "x", "alt": "x"})], "content[0].image_url.alt"),
    "image of a remote URL": ([part("image_url", {"url": "https://example.org/a.png"})], "content[0].image_url.url"),
    "image of a local file": ([part("image_url", {"url": "file:///etc/passwd"})], "content[0].image_url.url"),
    "image of words": ([part("image_url", {"url": "data:image/png,amber"})], "content[0].image_url.url"),
    "image of another type": (
        [part("image_url", {"url": f"data:image/svg+xml;base64,{DATA}"})],
        "content[0].image_url.url",
    ),
    "image with a parameter": (
        [part("image_url", {"url": f"data:image/png;name=amber;base64,{DATA}"})],
        "content[0].image_url.url",
    ),
    "image not base64": ([part("image_url", {"url": "data:image/png;base64,a b="})], "content[0].image_url.url"),
    "image empty": ([part("image_url", {"url": "data:image/png;base64,"})], "content[0].image_url.url"),
    "detail of words": (
        [part("image_url", {"url": f"data:image/png;base64,{DATA}", "detail": "amber"})],
        "content[0].image_url.detail",
    ),
    "audio not base64": ([part("input_audio", {"data": "amber!", "format": "wav"})], "content[0].input_audio.data"),
    "audio format of words": (
        [part("input_audio", {"data": DATA, "format": "amber"})],
        "content[0].input_audio.format",
    ),
    "audio without a format": ([part("input_audio", {"data": DATA})], "content[0].input_audio.format"),
    "file by its id": ([part("file", {"file_id": "file-1"})], "content[0].file.file_id"),
    "file without data": ([part("file", {"filename": "x"})], "content[0].file.file_data"),
    "file of text": ([part("file", {"file_data": f"data:text/plain;base64,{DATA}"})], "content[0].file.file_data"),
}


@pytest.mark.parametrize(("value", "param"), FAULTS.values(), ids=FAULTS)
def test_faults_name_their_path(value: Any, param: str) -> None:
    """400, with the path of the field at fault."""
    with pytest.raises(BadRequest) as caught:
        vet(value)
    assert caught.value.param == param
