"""The answer half: what is flagged never completes at the client, failures close, substitutes judge, and memory is counted."""

from __future__ import annotations

import asyncio
from itertools import pairwise
from typing import Any

import pytest
from msgspec.structs import replace
from support.canary import CANARY
from support.fake_classifier import Mode
from support.pipelines import (
    ANTHROPIC,
    BOTH_DIALECTS,
    DEADLINE_MS,
    HANGING_MS,
    MIB,
    OPENAI,
    PROMPT,
    SENTENCE,
    Client,
    bench,
    body_of,
    events_of,
    held_stream,
    policy,
    says,
    without_substitute,
)

from gateway.controls.answer_chain import AnswerChain, AnswerRuling
from gateway.controls.base import Control
from gateway.controls.broken import Broken, Fault
from gateway.demo.answers import Call, Said, openai_events
from gateway.demo.scripted import CHUNKED, Send, Sleep, chunk, head
from gateway.exchange import Exchange, Piece
from gateway.ledger.base import Kind
from gateway.limits import Limits
from gateway.wire.base import AnswerIds, AnswerWriter, Dialect
from gateway.wire.openai_chat import OpenAIChat

BEFORE, AFTER = SENTENCE * 2, " and " + SENTENCE * 2
FLAGGED = (*(BEFORE + CANARY + AFTER),)  # one character a delta
ARGUMENTS = tuple('{"text": "' + CANARY + '"}')
LONG = tuple(SENTENCE[at : at + 6] for at in range(0, len(SENTENCE), 6)) * 6

dialects = pytest.mark.parametrize("dialect", BOTH_DIALECTS, ids=lambda dialect: dialect.id)
streams = pytest.mark.parametrize("stream", [False, True], ids=["unary", "stream"])

SAID = {
    "content": (Said(FLAGGED),),
    "reasoning": (Said(("Good day.",), reasoning=FLAGGED),),
    "arguments": (Said((BEFORE,), calls=(Call("note", ARGUMENTS),)),),
    "call name": (Said(calls=(Call("amber_kestrel_protocol"),)),),
    "second choice": (Said((BEFORE,)), Said(FLAGGED)),
}


@dialects
@streams
@pytest.mark.parametrize("where", SAID)
@pytest.mark.parametrize("asl", [1, 3])
async def test_a_flagged_answer_never_completes(dialect: Dialect, where: str, asl: int, *, stream: bool) -> None:
    """Whatever part of an answer is flagged: no client sees it whole, the ending is the dialect's refusal, and the row says why."""
    if where == "second choice" and dialect is ANTHROPIC:
        where = "content"  # that dialect has one choice only
    async with bench(asl) as b:
        b.script(says(dialect, *SAID[where], stream=stream))
        more: dict[str, Any] = {"n": 2} if where == "second choice" else {}
        client = await b.ask(dialect, body_of(dialect, stream=stream, **more))
        assert (client.status, client.ended, client.answer.done) == (200, True, True)
        assert "protocol" not in client.answer.text
        assert b"protocol" not in client.data
        assert set(client.answer.finishes) <= {"content_filter", "refusal", "stop"}
        assert {"content_filter", "refusal"} & set(client.answer.finishes)
        row = b.outcome
        assert (row["outcome"], row["control"], row["finish"]) == ("blocked_output", "rules", "content_filter")
        assert (row["direction"], row["status"], row["detail"]) == ("output", 200, row["detail"])
        assert int(row["released"]) <= len(BEFORE) * 2 + len("amber kestrel ")
        if not stream:
            assert (row["released"], client.answer.text.strip()) == (0, "")
            assert client.headers["x-should-retry"] == "false"


@dialects
async def test_the_model_server_is_stopped_at_a_flag(dialect: Dialect) -> None:
    """A model that goes on after a flag is hung up on within a second."""
    gate = asyncio.Event()
    async with bench() as b:
        events = events_of(dialect, Said(FLAGGED))
        b.script(held_stream(events, len(events) - 5, gate))
        await b.ask(dialect, body_of(dialect, stream=True))
        await asyncio.wait_for(b.upstream.requests[0].left.wait(), PROMPT)
        assert b.outcome["outcome"] == "blocked_output"


async def test_the_classifier_blocks_an_answer_without_any_rule() -> None:
    """At ASL-3 the screen of answers blocks on its own, and what it had not cleared never left."""
    async with bench(snapshot=policy(rules=())) as b:
        b.script(says(OPENAI, Said(FLAGGED), stream=True))
        client = await b.ask(OPENAI, body_of(OPENAI, stream=True))
        assert (b.outcome["outcome"], b.outcome["control"]) == ("blocked_output", "output_screen")
        assert "kestrel" not in client.answer.text


@pytest.mark.parametrize("mode", ["raise", "hang", "nonsense"])
async def test_the_lexicon_stands_in_for_a_failed_classifier(mode: Mode) -> None:
    """A classifier that fails leaves its stricter substitute: harmless text is served, its words are blocked, and the row tells."""
    hanging = mode == "hang"  # the fake gives up by itself, before the group does: its substitute has time
    async with bench(snapshot=policy(rules=())) as b:
        b.classifier.patience = HANGING_MS / 1000 if hanging else None
        b.script(says(OPENAI, Said(LONG), stream=True))
        b.classifier.mode = mode
        client = await b.ask(OPENAI, body_of(OPENAI, stream=True))
        assert (client.answer.text, b.outcome["outcome"]) == ("".join(LONG), "served")
        assert b.outcome["substitutes"] == "cbrn_input,cbrn_output"
        assert "input_screen:control_" in str(b.outcome["failures"])
        assert b.total("substitute_active") == 2
        assert b.total("failed_open_total") == b.total("failed_open_total", control="harm_screen") == 1
        await b.ask(OPENAI, body_of(OPENAI, "What is a biological weapon?"))
        assert (b.outcome["outcome"], b.outcome["control"]) == ("blocked_input", "lexicon")
        b.classifier.mode = "ok"
        b.clock.advance(60)
        await b.ask(OPENAI, body_of(OPENAI, stream=True))
        assert (b.outcome["outcome"], b.outcome["substitutes"]) == ("served", "")
        assert b.total("substitute_active") == 0


async def test_a_classifier_that_fails_in_mid_answer() -> None:
    """The substitute judges the whole answer from its beginning, also what the classifier had cleared."""
    gate = asyncio.Event()
    async with bench(snapshot=policy(rules=())) as b:
        events = events_of(OPENAI, Said((*LONG, "a biological weapon", " of old.")))
        b.script(held_stream(events, 60, gate))
        client = Client(body_of(OPENAI, stream=True))
        b.start(OPENAI, client)
        await client.until("harbour")
        b.classifier.mode = "raise"
        gate.set()
        await b.finish()
        assert (b.outcome["outcome"], b.outcome["control"]) == ("blocked_output", "lexicon")
        assert "weapon" not in client.answer.text


HANGING = {Fault.HANGS, Fault.LATE}
FAULTS = [Fault.RAISES, Fault.HANGS, Fault.LATE, Fault.NOTHING, Fault.SHADOW, Fault.ANOTHER, Fault.MALFORMED]


def deadline(fault: Fault) -> int:
    """Only what hangs is worth a short deadline: a healthy control must not miss it on a busy machine."""
    return HANGING_MS if fault in HANGING else DEADLINE_MS


def both(first: str, fault: Fault) -> list[Broken]:
    """A group's first member and its substitute, with one fault."""
    return [Broken(first, fault), Broken("lexicon", fault)]


@dialects
@streams
@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.value)
async def test_a_prompt_that_nobody_can_judge(dialect: Dialect, fault: Fault, *, stream: bool) -> None:
    """Classifier and substitute broken: 503, worth a retry, nothing forwarded; served again when they are mended."""
    broken = both("input_screen", fault)
    async with bench(snapshot=policy(deadline_ms=deadline(fault)), listed=broken) as b:
        b.script(says(dialect, Said(LONG), stream=stream))
        client = await b.ask(dialect, body_of(dialect, stream=stream))
        assert (client.status, b.outcome["outcome"], b.outcome["cause"]) == (503, "unevaluated", "infrastructure")
        if dialect is OPENAI:
            assert client.body["error"]["code"] == "safeguard_unavailable"
        assert "x-should-retry" not in client.headers
        assert b.upstream.requests == []
        for control in broken:
            control.fault = Fault.NONE
        b.clock.advance(60)
        b.holder.swap(policy(revision=2))
        assert (await b.ask(dialect, body_of(dialect, stream=stream))).status == 200


@dialects
@streams
@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.value)
async def test_an_answer_that_nobody_can_judge(dialect: Dialect, fault: Fault, *, stream: bool) -> None:
    """Nothing of it leaves: a 503 while the head is unsent."""
    listed: list[Control] = [Broken("output_screen", fault)]
    asked = without_substitute(policy(deadline_ms=deadline(fault)), "cbrn_output")
    async with bench(snapshot=asked, listed=listed) as b:
        b.script(says(dialect, Said(LONG), stream=stream))
        client = await b.ask(dialect, body_of(dialect, stream=stream))
        assert (client.status, b.outcome["outcome"], b.outcome["released"]) == (503, "unevaluated", 0)
        assert b"harbour" not in client.data


@dialects
async def test_a_judge_that_breaks_in_mid_answer_without_a_substitute(dialect: Dialect) -> None:
    """What was cleared before stays with the client; then comes an error, no proper end, and nothing uncleared."""
    gate = asyncio.Event()
    judge = Broken("output_screen", Fault.NONE)
    async with bench(snapshot=without_substitute(policy(), "cbrn_output"), listed=[judge]) as b:
        events = events_of(dialect, Said((*LONG, "The last word.")))
        b.script(held_stream(events, 60, gate))
        client = Client(body_of(dialect, stream=True))
        b.start(dialect, client)
        await client.until("harbour")
        judge.fault = Fault.RAISES
        gate.set()
        await b.finish()
        assert (client.answer.done, client.answer.error is None, client.ended) == (False, False, True)
        assert "last word" not in client.answer.text
        assert (b.outcome["outcome"], b.outcome["finish"]) == ("unevaluated", "error")
        assert 0 < int(b.outcome["released"]) <= int(b.outcome["scanned"])


async def test_a_group_that_may_fail_open_is_counted() -> None:
    """At ASL-2 a harm screen that fails stops nothing, and is counted once an exchange."""
    async with bench(2, listed=[Broken("harm_screen", Fault.RAISES)]) as b:
        client = await b.ask(OPENAI, body_of(OPENAI))
        assert (client.status, b.outcome["outcome"]) == (200, "served")
        assert b.outcome["failures"] == "harm_screen:control_raised"
        assert b.total("failed_open_total", control="harm_screen") == 1
        assert b.total("control_failures_total", control="harm_screen", reason="control_raised") == 1


@dialects
async def test_a_model_server_that_breaks_off_in_mid_stream(dialect: Dialect) -> None:
    """A stream cut short ends in an error event without a proper end, and the uncleared tail is dropped."""
    async with bench() as b:
        events = events_of(dialect, Said((*LONG, "unfinished")))
        steps = tuple(Send(chunk(event)) for event in events[:-4])
        b.script((Send(head(content_type="text/event-stream", length=CHUNKED)), *steps, Send(b"0\r\n\r\n")))
        client = await b.ask(dialect, body_of(dialect, stream=True))
        assert (client.status, client.answer.done, client.answer.error is None) == (200, False, False)
        assert (b.outcome["outcome"], b.outcome["finish"]) == ("upstream_failed", "error")
        assert int(b.outcome["released"]) <= int(b.outcome["scanned"])


async def test_no_head_before_there_is_something_to_say() -> None:
    """A stream that breaks before its first text is an error by its status, not an empty stream."""
    async with bench() as b:
        b.script((Send(head(content_type="text/event-stream", length=CHUNKED)), Send(chunk(b"data: {nonsense\n\n"))))
        client = await b.ask(OPENAI, body_of(OPENAI, stream=True))
        assert (client.status, client.body["error"]["code"]) == (502, "upstream_malformed")


@streams
async def test_a_long_answer_counts_against_the_memory(*, stream: bool) -> None:
    """An answer that outgrows the replica's memory is stopped as overloaded, and everything is given back (checked by the bench)."""
    async with bench(limits=Limits(MIB, MIB, 10)) as b:
        b.script(says(OPENAI, Said((SENTENCE,) * 4000), stream=stream))
        client = await b.ask(OPENAI, body_of(OPENAI, stream=stream))
        assert b.outcome["outcome"] == "overloaded"
        assert client.status == (200 if stream else 503)
        assert client.answer.error is not None


async def test_text_leaves_while_the_model_is_still_speaking() -> None:
    """Hold-back is no wait for the end: the first text of a long stream arrives while most of it is unsaid."""
    async with bench() as b:
        events = openai_events(Said(LONG))
        script = held_stream(events, 40, asyncio.Event())
        b.script((*script[:41], Sleep(30)))
        client = Client(body_of(OPENAI, stream=True))
        b.start(OPENAI, client)
        await client.until("harbour")
        assert b.ledger.of(Kind.OUTCOME) == []
        client.leave()
        await b.finish()


@pytest.mark.parametrize("size", [1, 7, 4096])
async def test_how_the_stream_is_cut_changes_nothing(size: int) -> None:
    """The same answer in pieces of any size reaches the client as the same text."""
    async with bench() as b:
        whole = b"".join(events_of(OPENAI, Said(LONG)))
        cuts = [*range(0, len(whole), size), len(whole)]
        parts = [Send(chunk(whole[start:end])) for start, end in pairwise(cuts)]
        b.script((Send(head(content_type="text/event-stream", length=CHUNKED)), *parts, Send(chunk(b""))))
        client = await b.ask(OPENAI, body_of(OPENAI, stream=True))
        assert client.answer.text == "".join(LONG)
        assert b.outcome["scanned"] == b.outcome["released"] == len("".join(LONG))


async def test_a_stream_that_is_blocked_before_it_began_says_not_to_retry() -> None:
    """While the head is unsent a safety decision can still say that it need not be asked again."""
    async with bench() as b:
        b.script(says(OPENAI, Said((CANARY,)), stream=True))
        client = await b.ask(OPENAI, body_of(OPENAI, stream=True))
        assert (client.status, client.headers["x-should-retry"]) == (200, "false")
        assert (client.answer.finishes, client.answer.text) == (["content_filter"], "")


async def test_a_chain_that_reports_nonsense_cuts_the_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """The hold-back machine trusts no chain: a frontier beyond the text ends the answer as a failure of ours."""
    plain = AnswerChain.step

    async def beyond(self: AnswerChain, pieces: tuple[Piece, ...]) -> AnswerRuling:
        ruling = await plain(self, pieces)
        judgements = tuple((group, replace(one, cleared=one.cleared + 10_000)) for group, one in ruling.judgements)
        return replace(ruling, judgements=judgements)

    monkeypatch.setattr(AnswerChain, "step", beyond)
    async with bench() as b:
        b.script(says(OPENAI, Said(LONG), stream=True))
        client = await b.ask(OPENAI, body_of(OPENAI, stream=True))
        assert (client.status, b.outcome["outcome"], b.outcome["reason"]) == (503, "unevaluated", "control_nonsense")
        assert b"harbour" not in client.data


async def test_what_leaves_after_a_flag_is_counted() -> None:
    """The alarm is real: a writer that releases text in its closing words raises ``released_after_flag_total``."""
    async with bench(counted=False) as b:
        b.script(says(OPENAI, Said(FLAGGED), stream=True))
        writer = OPENAI.writer

        def leaky(exchange: Exchange, ids: AnswerIds) -> AnswerWriter:
            made = writer(exchange, ids)
            plain = made.blocked

            def blocked() -> bytes:
                made.released += 7
                return plain()

            made.blocked = blocked  # type: ignore[method-assign]  # leaks on purpose
            return made

        dialect = OpenAIChat()
        dialect.writer = leaky  # type: ignore[method-assign]  # as above
        await b.ask(dialect, body_of(OPENAI, stream=True))
        assert b.total("released_after_flag_total") == 7
        b.leaks = 7
