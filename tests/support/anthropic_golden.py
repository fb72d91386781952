"""Golden cases of the Anthropic dialect: input, a rule line, expected output. The first word of the file name is the kind.

``request-*``: a client's body; expected: the leaves, uses and dropped fields, then what the upstream receives; or the fault.
``stream-*``, ``whole-*``: the upstream's bytes; expected: what the client receives when all of it is cleared, or the fault.
``blocked-*``: the upstream's stream up to the block; expected: what the client receives.
Lines that start with ``#`` before the input say what the case is about.
"""

from __future__ import annotations

from pathlib import Path

import msgspec

from gateway.errors import GatewayError
from gateway.exchange import Exchange
from gateway.wire.anthropic_messages import AnthropicMessages
from gateway.wire.base import AnswerIds, WireLimits

RULE = "\n----------\n"
IDS = AnswerIds("d0", "canonical", 1_700_000_000)
ASKED = {"max_tokens": 9, "messages": [], "stop_sequences": ["END"]}


def run(path: Path) -> tuple[str, str]:
    """What came out, and what was expected."""
    given, _, expected = path.read_text(encoding="utf-8").partition(RULE)
    lines = given.splitlines(keepends=True)
    while lines and lines[0].startswith("#"):
        lines.pop(0)
    return outcome(path.name.partition("-")[0], "".join(lines)).strip(), expected.strip()


def outcome(kind: str, text: str) -> str:
    """The result of a case of one kind, as text."""
    try:
        return _request(text) if kind == "request" else _answer(kind, text)
    except GatewayError as error:
        param = f" at {error.param}" if error.param else ""
        return f"{type(error).__name__} {error.status} {error.code}{param}: {error.message}"


def _request(text: str) -> str:
    dialect = AnthropicMessages()
    exchange = dialect.parse(text.strip().encode(), WireLimits())
    lines = [
        f"{leaf.path} | {leaf.role} {leaf.channel} {leaf.origin} {'new' if leaf.new else 'old'} | {leaf.text!r}"
        for leaf in exchange.leaves
    ]
    lines += [f"use {use.feature} at {use.path}" for use in exchange.uses]
    lines += [f"dropped {name}" for name in exchange.dropped]
    lines += [f"model {exchange.model}{' streamed' if exchange.stream else ''}"]
    upstream = msgspec.json.format(dialect.request(exchange, "canonical"), indent=1)
    return "\n".join([*lines, upstream.decode()])


def _answer(kind: str, text: str) -> str:
    dialect = AnthropicMessages()
    exchange = Exchange(dialect.id, "alias", kind != "whole", 1, (), ASKED)
    reader, writer = dialect.reader(exchange, WireLimits()), dialect.writer(exchange, IDS)
    events = list(reader.feed(text.encode()))
    if kind == "blocked":
        return b"".join([*map(writer.encode, events), writer.blocked()]).decode()
    events += reader.end()
    if kind == "whole":
        return msgspec.json.format(writer.whole(events), indent=1).decode()
    return b"".join(map(writer.encode, events)).decode()
