"""Golden cases of OpenAI's chat dialect: input, a rule line, expected output. The first word of the file name is the kind.

``request-*``: a client's body; expected: the leaves, uses and dropped fields, then what the upstream receives; or the fault.
``stream-*``, ``whole-*``: the upstream's bytes; expected: what the client receives when all of it is cleared, or the fault.
``blocked-*``: the upstream's stream up to the block; expected: what the client receives.
Lines that start with ``#`` before the input say what the case is about; ``#: choices=2 usage=no`` sets what the client asked for.
Escapes ``{CR}``, ``{BOM}`` and ``{NEL}`` stand for characters that an editor would lose.
"""

from __future__ import annotations

from pathlib import Path

import msgspec

from gateway.errors import GatewayError
from gateway.exchange import Exchange
from gateway.wire.base import AnswerIds, WireLimits
from gateway.wire.openai_chat import OpenAIChat

RULE = "\n----------\n"
IDS = AnswerIds("d0", "canonical", 1_700_000_000)
ESCAPES = {"{CR}": "\r", "{BOM}": "\ufeff", "{NEL}": "\u0085"}


def run(path: Path) -> tuple[str, str]:
    """What came out, and what was expected."""
    given, _, expected = path.read_text(encoding="utf-8").partition(RULE)
    return outcome(path.name.partition("-")[0], given).strip(), expected.strip()


def outcome(kind: str, given: str) -> str:
    """The result of a case of one kind, as text."""
    lines = given.splitlines(keepends=True)
    asked: dict[str, str] = {}
    while lines and lines[0].startswith("#"):
        line = lines.pop(0)
        if line.startswith("#:"):
            asked |= dict(pair.split("=") for pair in line[2:].split())
    text = "".join(lines)
    for name, character in ESCAPES.items():
        text = text.replace(name, character)
    try:
        return _request(text) if kind == "request" else _answer(kind, text, asked)
    except GatewayError as error:
        param = f" at {error.param}" if error.param else ""
        return f"{type(error).__name__} {error.status} {error.code}{param}: {error.message}"


def _request(text: str) -> str:
    dialect = OpenAIChat()
    exchange = dialect.parse(text.strip().encode(), WireLimits())
    lines = [
        f"{leaf.path} | {leaf.role} {leaf.channel} {leaf.origin} {'new' if leaf.new else 'old'} | {leaf.text!r}"
        for leaf in exchange.leaves
    ]
    lines += [f"use {use.feature} at {use.path}" for use in exchange.uses]
    lines += [f"dropped {name}" for name in exchange.dropped]
    asked = f" streamed{'' if exchange.usage_asked else ' without usage'}" if exchange.stream else ""
    lines += [f"model {exchange.model}, choices {exchange.choices}{asked}"]
    upstream = msgspec.json.format(dialect.request(exchange, "canonical"), indent=1)
    return "\n".join([*lines, upstream.decode()])


def _answer(kind: str, text: str, asked: dict[str, str]) -> str:
    dialect = OpenAIChat()
    usage = asked.get("usage", "yes") == "yes"
    exchange = Exchange(dialect.id, "alias", kind != "whole", int(asked.get("choices", 1)), (), {}, usage_asked=usage)
    reader, writer = dialect.reader(exchange, WireLimits()), dialect.writer(exchange, IDS)
    events = list(reader.feed(text.encode()))
    if kind == "blocked":
        return b"".join([*map(writer.encode, events), writer.blocked()]).decode()
    events += reader.end()
    if kind == "whole":
        return msgspec.json.format(writer.whole(events), indent=1).decode()
    return b"".join(map(writer.encode, events)).decode()
