"""Targets: the requests and the answers of both dialects.

Requests: what is parsed, written and parsed again has the same leaves, and every string that goes to the model server is a leaf
or proven inert. Answers: read, judged, released, written and read again, the client has the text that the model server sent, and
never the canary phrase.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from support import anthropic_proof, openai_proof

from gateway.errors import BadRequest, UpstreamError
from gateway.exchange import AnswerEvent, Channel, ChannelKey, Exchange, OpaqueBlock, TextDelta, ToolCallStart
from gateway.screening import Screening
from gateway.terms import Hold
from gateway.verdict import Judgement, Outcome, Reason, Verdict, allow
from gateway.wire.anthropic_messages import AnthropicMessages
from gateway.wire.base import AnswerIds, Dialect, WireLimits
from gateway.wire.openai_chat import OpenAIChat
from loadtests.fuzz.cuts import pieces

CANARY = "amber kestrel protocol"
IDS = AnswerIds("d0", "canonical", 1_700_000_000)
LIMITS = WireLimits()
FLAG = Verdict(Outcome.BLOCK, "fuzz", Reason.RULE_MATCHED)
Leaves = list[tuple[str, str, str, str, bool]]
Said = dict[Any, list[str]]


def openai_request(data: bytes, dialect: Dialect | None = None) -> None:
    """OpenAI's chat completions."""
    request(data, dialect or OpenAIChat(), openai_proof.unproven)


def anthropic_request(data: bytes, dialect: Dialect | None = None) -> None:
    """Anthropic's messages."""
    request(data, dialect or AnthropicMessages(), anthropic_proof.unproven)


def request(data: bytes, dialect: Dialect, unproven: Callable[[Any, set[str]], list[str]]) -> None:
    """One body of a client's."""
    try:
        exchange = dialect.parse(data, LIMITS)
    except BadRequest as refusal:
        said = refusal.message + (refusal.param or "")
        assert said.isascii(), "a fault quotes the body"
        assert said.isprintable(), "a fault quotes the body"
        return
    texts = {leaf.text for leaf in exchange.leaves}
    assert not unproven(exchange.body, texts), "a string goes to the model server that nobody judges"
    written = dialect.request(exchange, "canonical")
    again = dialect.parse(written, LIMITS)
    assert leaves(again) == leaves(exchange), "the model server reads other texts than were judged"
    assert (again.body, again.model, again.dropped) == (exchange.body, "canonical", ()), "the body changes"
    assert (again.stream, again.choices) == (exchange.stream, exchange.choices)


def leaves(exchange: Exchange) -> Leaves:
    """What judges see of an exchange."""
    return [(leaf.path, leaf.text, leaf.role, leaf.origin, leaf.new) for leaf in exchange.leaves]


def openai_answer(data: bytes, dialect: Dialect | None = None) -> None:
    """OpenAI's: the first byte says how many choices were asked for, and whether as a stream."""
    answer(data, dialect or OpenAIChat())


def anthropic_answer(data: bytes, dialect: Dialect | None = None) -> None:
    """Anthropic's: the first byte says whether it is a stream."""
    answer(data, dialect or AnthropicMessages())


def answer(data: bytes, dialect: Dialect) -> None:
    """One answer of a model server's, the same wherever it is cut."""
    kind, body = data[0] if data else 0, data[1:]
    choices = 1 + kind // 2 % 3 if dialect.id.startswith("openai") else 1
    exchange = Exchange(dialect.id, "alias", kind % 2 == 0, choices, (), {"stop_sequences": ["END"]})
    batches, cut = read(dialect, exchange, [body]), read(dialect, exchange, pieces(body))
    assert (batches is None) == (cut is None), "an answer is malformed only where it is cut in some way"
    if batches is None or cut is None:
        return
    events = [event for batch in batches for event in batch]
    assert events == [event for batch in cut for event in batch], "events depend on where an answer is cut"
    relayed(dialect, exchange, cut, said(events))


def read(dialect: Dialect, exchange: Exchange, parts: list[bytes]) -> list[tuple[AnswerEvent, ...]] | None:
    """The events of each part and of the end; None where the answer is refused with the typed error."""
    reader = dialect.reader(exchange, LIMITS)
    try:
        return [*map(reader.feed, parts), reader.end()]
    except UpstreamError:
        return None


def relayed(dialect: Dialect, exchange: Exchange, batches: Iterable[tuple[AnswerEvent, ...]], sent: Said) -> None:
    """Judge, release, write, and read as a client does."""
    screening = Screening(("fuzz",), hold=Hold.ADAPTIVE, cap=1 << 20, opaque=True)
    try:
        out = released(screening, batches)
    except UpstreamError:
        return
    assert not any(CANARY in "".join(texts) for texts in said(out).values()), "the canary was released"
    if not screening.ended:
        assert any(CANARY in text for text in judged(sent)), "an answer stopped though nobody had flagged it"
        return
    writer = dialect.writer(exchange, IDS)
    try:
        written = b"".join(map(writer.encode, out)) if exchange.stream else writer.whole(out)
    except UpstreamError:
        return
    back = read(dialect, exchange, [written])
    assert back is not None, "our own reader refuses what our writer wrote"
    assert said([event for batch in back for event in batch]) == said(out), "the client reads other text"
    assert texts_of(said(out)) == texts_of(sent), "text was lost or added on the way"
    assert writer.released == screening.released_bytes, "released bytes are counted in two ways"


def released(screening: Screening, batches: Iterable[tuple[AnswerEvent, ...]]) -> list[AnswerEvent]:
    """Everything that leaves under a judge who flags the canary and holds back as far as it is long."""
    known: dict[ChannelKey, str] = {}
    out: list[AnswerEvent] = []
    for batch in batches:
        for piece in screening.feed(batch):
            text = known[piece.key] = known.get(piece.key, "") + piece.text
            cleared = len(text) if piece.final else max(0, len(text) - len(CANARY) + 1)
            screening.report("fuzz", Judgement(piece.key, cleared, FLAG if CANARY in text else allow("fuzz")))
        out += screening.release()
    return out


def said(events: Iterable[AnswerEvent]) -> Said:
    """Text by choice and kind; of calls also by call, with names; opaque values in their order."""
    found: Said = {}
    for event in events:
        if isinstance(event, TextDelta):
            key = event.key
            call = key.index if key.channel is Channel.TOOL_CALL else 0
            found.setdefault((key.choice, key.channel, call), [""])[-1] += event.text
        elif isinstance(event, ToolCallStart):
            found[event.key.choice, Channel.TOOL_CALL, event.key.index] = [event.name, ""]
        elif isinstance(event, OpaqueBlock):
            found.setdefault("opaque", []).append(event.data)
    return found


def texts_of(found: Said) -> Said:
    """Without calls (their arguments are written anew, and an unfinished one is left out) and opaque values."""
    return {key: texts for key, texts in found.items() if key != "opaque" and key[1] is not Channel.TOOL_CALL}


def judged(found: Said) -> list[str]:
    """Every text a judge may have seen, decoded as far as escapes of JSON go."""
    texts = ["".join(parts) for parts in found.values()]
    return texts + [text.encode("utf-8", "replace").decode("unicode_escape", "replace") for text in texts]
