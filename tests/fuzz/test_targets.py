"""Every fuzz target over its seeds and over damage of them, without atheris; and each target catches a parser that is broken on purpose."""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

import msgspec
import pytest
from support.screening_claims import Deaf, Lenient, Unheeding

from gateway.edge_head import Chunks, Head, check_head
from gateway.errors import BadRequest
from gateway.exchange import AnswerEvent, Exchange, TextDelta
from gateway.text.incremental import Normaliser
from gateway.text.normal import normal
from gateway.upstream.response import ResponseReader
from gateway.wire.anthropic_messages import AnthropicMessages
from gateway.wire.base import AnswerReader, WireLimits
from gateway.wire.openai_chat import OpenAIChat
from gateway.wire.sse import Splitter
from loadtests.fuzz import dialects, documents, framing, holdback, texts
from loadtests.fuzz.damage import damaged
from loadtests.fuzz.targets import TARGETS, Target, target

DOCS = Path(__file__).parents[2] / "docs" / "fuzzing.md"
DAMAGED = 150  # inputs of each target, beside its seeds


def inputs(found: Target) -> list[bytes]:
    """Seeds and damage of them; always the same."""
    seeds, random = found.seeds(), Random(zlib.crc32(found.name.encode()))
    return seeds + [damaged(random.choice(seeds), seeds, random, tree=found.tree) for _ in range(DAMAGED)]


@pytest.mark.parametrize("found", TARGETS, ids=lambda each: each.name)
def test_no_input_breaks_a_claim(found: Target) -> None:
    """Seeds and damaged seeds raise nothing: typed refusals are no crashes, and every claim holds."""
    for data in inputs(found):
        found.run(data)


@pytest.mark.parametrize("found", TARGETS, ids=lambda each: each.name)
def test_there_are_seeds(found: Target) -> None:
    """A golden folder that moved would leave a target without seeds."""
    assert len(found.seeds()) >= 7


def test_every_target_is_in_the_docs() -> None:
    """docs/fuzzing.md names each target, so that its table of parsers cannot go stale unnoticed."""
    text = DOCS.read_text(encoding="utf-8")
    assert all(f"`{each.name}`" in text for each in TARGETS)


@pytest.mark.parametrize(
    "line", [line for line in DOCS.read_text(encoding="utf-8").splitlines() if "](../tests/" in line]
)
def test_every_property_test_of_the_table_exists(line: str) -> None:
    """The table links files that are there, and each of them holds a property test or runs the targets."""
    for part in line.split("](../")[1:]:
        text = (DOCS.parents[1] / part.partition(")")[0]).read_text(encoding="utf-8")
        assert "@given(" in text or "TARGETS" in text, part


def test_damage_keeps_json_readable_often_enough() -> None:
    """At least a third of what a tree target is given is still JSON: otherwise only the tokenizer would be tested."""
    found, readable = target("openai-request"), 0
    for data in inputs(found)[-DAMAGED:]:
        try:
            json.loads(data)
        except ValueError:
            continue
        readable += 1
    assert readable > DAMAGED / 3


# Parsers that are broken on purpose, each in the way that its target is there to find.


def last_key_wins(body: bytes, _: WireLimits) -> dict[str, Any]:
    """Broken JSON: of a key that is there twice, the last one counts."""
    try:
        tree = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadRequest("no") from error
    if not isinstance(tree, dict):
        raise BadRequest("no")
    return tree


class Crumbling(Splitter):
    """Broken SSE: a CRLF that is cut in two counts as two line ends."""

    def feed(self, data: bytes) -> Any:
        self._seen_cr = False
        return super().feed(data)


class Leaky(OpenAIChat):
    """Broken: what the client calls itself goes to the model server unjudged."""

    def parse(self, body: bytes, limits: WireLimits) -> Exchange:
        found = super().parse(body, limits)
        return replace(found, leaves=tuple(leaf for leaf in found.leaves if leaf.path != "user"))


class Forgetful(AnthropicMessages):
    """Broken: an unjudged system prompt."""

    def parse(self, body: bytes, limits: WireLimits) -> Exchange:
        found = super().parse(body, limits)
        return replace(found, leaves=tuple(leaf for leaf in found.leaves if not leaf.path.startswith("system")))


class Lossy:
    """A reader that loses the last character of every text that ends a feed."""

    def __init__(self, inner: AnswerReader) -> None:
        self._inner = inner

    def feed(self, data: bytes) -> tuple[AnswerEvent, ...]:
        """Without the last text."""
        events = self._inner.feed(data)
        return events[:-1] if events and isinstance(events[-1], TextDelta) else events

    def end(self) -> tuple[AnswerEvent, ...]:
        """As it is."""
        return self._inner.end()


class LossyChat(OpenAIChat):
    """Broken: text depends on where the stream is cut."""

    def reader(self, exchange: Exchange, limits: WireLimits) -> AnswerReader:
        return Lossy(super().reader(exchange, limits))


class LossyMessages(AnthropicMessages):
    """The same."""

    def reader(self, exchange: Exchange, limits: WireLimits) -> AnswerReader:
        return Lossy(super().reader(exchange, limits))


def trusting(raw: bytes, hosts: frozenset[bytes]) -> Head:
    """Broken: identity headers stay."""
    return replace(check_head(raw, hosts), data=raw)


class Greedy(Chunks):
    """Broken: everything that has come is taken for the body."""

    def take(self, data: bytes) -> int:
        super().take(data)
        return len(data)


class Sluggish(ResponseReader):
    """Broken: only the first piece of a body counts."""

    def on_body(self, data: bytes) -> None:
        if not self.buffered:
            super().on_body(data)


class Hasty(Normaliser):
    """Broken: each chunk is normalised by itself."""

    def feed(self, chunk: str) -> str:
        return normal(chunk)

    def flush(self) -> str:
        return ""


class Crashing(Splitter):
    """Broken: an exception of Python's own where the stream is no UTF-8."""

    def feed(self, data: bytes) -> Any:
        data.decode("ascii")
        return super().feed(data)


BROKEN: dict[str, list[Callable[[bytes], None]]] = {
    "json": [partial(documents.document, loads=last_key_wins)],
    "sse": [partial(documents.events, splitter=Crumbling), partial(documents.events, splitter=Crashing)],
    "openai-request": [partial(dialects.openai_request, dialect=Leaky())],
    "anthropic-request": [partial(dialects.anthropic_request, dialect=Forgetful())],
    "openai-answer": [partial(dialects.openai_answer, dialect=LossyChat())],
    "anthropic-answer": [partial(dialects.anthropic_answer, dialect=LossyMessages())],
    "head": [partial(framing.head, check=trusting)],
    "chunks": [partial(framing.chunks, follower=Greedy)],
    "response": [partial(framing.response, reader=Sluggish)],
    "texts": [partial(texts.text_views, normaliser=Hasty)],
    "holdback": [partial(holdback.machine, made=made) for made in (Lenient, Deaf, Unheeding)],
}


@pytest.mark.parametrize(("name", "run"), [(name, run) for name, runs in BROKEN.items() for run in runs])
def test_a_broken_parser_is_caught(name: str, run: Callable[[bytes], None]) -> None:
    """With a broken part in place of the real one, some input is a crash: a broken claim, or an exception that is not typed."""
    caught = 0
    for data in inputs(target(name)):
        try:
            run(data)
        except (AssertionError, UnicodeDecodeError, documents.Unfit):
            caught += 1
    assert caught


def test_every_target_has_a_broken_parser() -> None:
    """A new target comes with the proof that it can fail."""
    assert set(BROKEN) == {each.name for each in TARGETS}
