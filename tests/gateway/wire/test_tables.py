"""The table for the documentation says what the parsers do."""

from __future__ import annotations

import re

import pytest

from gateway.exchange import Origin, Role
from gateway.wire import anthropic_content, anthropic_request, openai_content, openai_request
from gateway.wire.node import Found, Node
from gateway.wire.tables import PART_TREATMENTS, field_table
from gateway.wire.treatment import Treatment
from gateway.wire.voice import Voice

PARTS: dict[str, object] = {
    "text": "x",
    "refusal": "x",
    "image_url": {"url": "data:image/png;base64,eA=="},
    "input_audio": {"data": "eA==", "format": "wav"},
    "file": {"filename": "x", "file_data": "data:application/pdf;base64,eA=="},
}


def rows(title: str) -> dict[str, tuple[str, str]]:
    """Treatment and note by name, of one section."""
    section = field_table().split(f"### {title}\n")[1].split("###")[0]
    found = re.findall(r"^\| `?([^`|]+?)`? \| ([^|]*) \| ([^|]*) \|$", section, re.MULTILINE)
    return {name: (treatment, note) for name, treatment, note in found if name not in {"field", "part", "block"}}


def test_every_field_has_its_row() -> None:
    """No field of either parser is left out, none is made up, and each row says the parser's own treatment."""
    openai = rows("OpenAI chat: fields")
    assert list(openai) == [*openai_request.FIELDS, *openai_request.DROPPED, "any other"]
    for name, field in openai_request.FIELDS.items():
        assert openai[name] == (field.treatment.value, field.note)
    assert {openai[name][0] for name in openai_request.DROPPED} == {"dropped"}
    anthropic = rows("Anthropic messages: fields")
    assert {name: how for name, (how, _) in anthropic.items()} == {
        **anthropic_request.FIELDS,
        "any other": "dropped",
    }


def test_every_part_and_block_has_its_row() -> None:
    """With the places that take it; any other is refused."""
    parts, blocks = rows("OpenAI chat: parts of content"), rows("Anthropic messages: blocks")
    assert list(parts) == [*openai_content.PARTS, "any other"]
    assert list(blocks) == [*anthropic_content.PLACES, "any other"]
    assert parts["image_url"] == ("reported", "in user")
    assert parts["file"] == ("screened, reported", "in user")
    assert blocks["text"][1] == "in assistant, document, system, tool_result, user"
    assert parts["any other"][0] == blocks["any other"][0] == "refused"


@pytest.mark.parametrize("kind", sorted(openai_content.PARTS))
def test_parts_are_treated_so(kind: str) -> None:
    """Screened parts give leaves, reported ones a use, as the table says."""
    voice = Voice(min(openai_content.PARTS[kind] & {"user", "assistant"}), Role.USER, Origin.USER, new=True)
    node = Node([{"type": kind, kind: PARTS[kind]}], "c", Found(9))
    openai_content.content(node, voice)
    assert bool(node.found.leaves) == (Treatment.SCREENED in PART_TREATMENTS[kind])
    assert bool(node.found.uses) == (Treatment.REPORTED in PART_TREATMENTS[kind])


def test_it_is_plain_markdown() -> None:
    """Every row has three cells: no note breaks the table."""
    lines = [line for line in field_table().splitlines() if line.startswith("|")]
    assert {line.count("|") for line in lines} == {4}
    assert field_table().endswith("|\n")
