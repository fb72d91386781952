"""How each field of a request is treated, as Markdown for the documentation: made from the tables that the parsers run on."""

from __future__ import annotations

from collections.abc import Iterable

from gateway.wire import anthropic_content, anthropic_request, openai_content, openai_request
from gateway.wire.treatment import Treatment

REST = ("any other", "dropped", "named in `x-asl-dropped`; refused where the level refuses unknown fields")
REFUSED_REST = ("any other", Treatment.REFUSED.value, "400, naming its path")
# How parts of OpenAI's content are treated; where each may stand is the parser's table.
PART_TREATMENTS = {
    "text": (Treatment.SCREENED,),
    "refusal": (Treatment.SCREENED,),
    "image_url": (Treatment.REPORTED,),
    "input_audio": (Treatment.REPORTED,),
    "file": (Treatment.SCREENED, Treatment.REPORTED),  # its name, its bytes
}


def field_table() -> str:
    """Tables of fields and of content for each dialect, in the order of the parser, ending in a newline."""
    anthropic = [(f"`{name}`", how.value, "") for name, how in anthropic_request.FIELDS.items()]
    openai = [(f"`{name}`", field.treatment.value, field.note) for name, field in openai_request.FIELDS.items()]
    dropped = [(f"`{name}`", "dropped", note) for name, note in openai_request.DROPPED.items()]
    sections = (
        _section("OpenAI chat: fields", "field", [*openai, *dropped, REST]),
        _section("OpenAI chat: parts of content", "part", _content(openai_content.PARTS, PART_TREATMENTS)),
        _section("Anthropic messages: fields", "field", [*anthropic, REST]),
        _section("Anthropic messages: blocks", "block", _content(anthropic_content.PLACES, anthropic_content.BLOCKS)),
    )
    return "\n".join(sections)


def _content(
    places: dict[str, frozenset[str]], treatments: dict[str, tuple[Treatment, ...]]
) -> list[tuple[str, str, str]]:
    rows = [(f"`{kind}`", ", ".join(treatments[kind]), f"in {', '.join(sorted(places[kind]))}") for kind in places]
    return [*rows, REFUSED_REST]


def _section(title: str, first: str, rows: Iterable[tuple[str, str, str]]) -> str:
    lines = [f"### {title}", "", f"| {first} | treatment | note |", "|---|---|---|"]
    return "\n".join([*lines, *(f"| {' | '.join(row)} |" for row in rows), ""])
