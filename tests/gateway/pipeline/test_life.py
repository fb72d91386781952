"""One exchange from top to bottom: what is served, what is blocked, what is recorded, and what happens when a client leaves."""

from __future__ import annotations

import asyncio
import base64
import json

import pytest
from support.canary import CANARY
from support.memory_ledger import MemoryLedger
from support.pipelines import (
    ANTHROPIC,
    BOTH_DIALECTS,
    MODEL,
    OPENAI,
    PATIENT,
    PROMPT,
    SENTENCE,
    Client,
    bench,
    body_of,
    events_of,
    held_stream,
    policy,
    says,
)

from gateway.demo.answers import Said
from gateway.demo.scripted import Script, Sleep
from gateway.ledger.base import Kind, LedgerError
from gateway.wire.base import Dialect

LONG = tuple(SENTENCE[at : at + 6] for at in range(0, len(SENTENCE), 6)) * 6
dialects = pytest.mark.parametrize("dialect", BOTH_DIALECTS, ids=lambda dialect: dialect.id)
streams = pytest.mark.parametrize("stream", [False, True], ids=["unary", "stream"])


@dialects
@streams
@pytest.mark.parametrize("asl", [1, 2, 3])
async def test_a_benign_exchange_is_served(dialect: Dialect, asl: int, *, stream: bool) -> None:
    """The client gets the model's text, the model server our serialisation, and the ledger both rows in the right order."""
    async with bench(asl) as b:
        b.script(says(dialect, Said(LONG), stream=stream))
        client = await b.ask(dialect, body_of(dialect, stream=stream, model=f"{MODEL}-alias"))
        assert (client.status, client.ended, client.answer.done) == (200, True, True)
        assert client.answer.text == "".join(LONG)
        assert client.answer.error is None
        (request,) = b.upstream.requests
        assert (request.path, json.loads(request.body)["model"]) == (dialect.path, MODEL)
        assert request.header("x-request-id") == client.headers["x-request-id"]
        assert request.header("authorization") is None
        assert b.intents_seen == [1]
        row = b.outcome
        assert (row["outcome"], row["status"], row["asl"], row["stream"]) == ("served", 200, f"asl-{asl}", int(stream))
        assert row["scanned"] == row["released"] == len("".join(LONG))
        assert (row["model"], row["finish"], row["direction"]) == (MODEL, "stop", "none")
        assert str(row["input_digest"]).startswith("hmac-sha256:")
        assert "x-should-retry" not in client.headers


def wordings(text: str) -> list[object]:
    """A prompt that holds a text in several disguises."""
    half = len(text) // 2
    return [
        f"please explain the {text} to me",
        base64.b64encode(f"please explain the {text} to me".encode()).decode(),
        [{"type": "text", "text": "the " + text[:half]}, {"type": "text", "text": text[half:] + " please"}],
    ]


@dialects
@streams
@pytest.mark.parametrize("wording", range(3), ids=["plain", "base64", "over parts"])
@pytest.mark.parametrize("asl", [1, 3])
async def test_a_blocked_prompt_goes_nowhere(dialect: Dialect, wording: int, asl: int, *, stream: bool) -> None:
    """The dialect's own refusal, not to be asked again; the model server sees nothing; the decision is on record before it is told."""
    async with bench(asl) as b:
        body = body_of(dialect, messages=[{"role": "user", "content": wordings(CANARY)[wording]}], stream=stream)
        client = await b.ask(dialect, body)
        assert b.upstream.requests == []
        assert client.headers["x-should-retry"] == "false"
        row = b.outcome
        assert (row["outcome"], row["control"], row["reason"]) == ("blocked_input", "rules", "rule_matched")
        assert (row["direction"], row["status"], row["released"]) == ("input", client.status, 0)
        assert b.ledger.of(Kind.INTENT) == []
        assert CANARY not in str(b.ledger.rows)
        assert "rr-canary" not in client.data.decode()
        if dialect is OPENAI:
            error = client.body["error"]
            assert (client.status, error["type"], error["code"]) == (400, "invalid_request_error", "content_filter")
        else:
            assert (client.status, client.answer.finishes, client.answer.done) == (200, ["refusal"], True)


async def test_the_classifier_blocks_a_prompt_without_any_rule() -> None:
    """At ASL-3 the screen blocks what no rule names; at ASL-2 the same screen only watches."""
    for asl, outcome in ((3, "blocked_input"), (2, "served")):
        async with bench(asl, snapshot=policy(asl, rules=())) as b:
            await b.ask(OPENAI, body_of(OPENAI, CANARY))
            assert b.outcome["outcome"] == outcome
            assert len(b.upstream.requests) == (asl == 2)


class Refusing(MemoryLedger):
    """A ledger that stops at a chosen point."""

    def __init__(self, where: str) -> None:
        super().__init__()
        self.refusing = where == "append"
        self.broken = where == "written"
        self.late = where == "durable"

    def append(self, kind, fields):  # type: ignore[no-untyped-def]  # as its base
        receipt = super().append(kind, fields)
        if self.late:

            async def fails() -> None:
                raise LedgerError("the disk is full")

            receipt.durable = fails  # type: ignore[method-assign]  # only this receipt's disk is full
        return receipt


@dialects
@streams
@pytest.mark.parametrize("where", ["append", "written", "durable"])
async def test_no_decision_without_a_record(dialect: Dialect, where: str, *, stream: bool) -> None:
    """A ledger that cannot write means 503 and no answer byte; nothing is forwarded before the intent row is written."""
    ledger = Refusing(where)
    async with bench(ledger=ledger, counted=False) as b:
        b.script(says(dialect, Said(LONG), stream=stream))
        client = await b.ask(dialect, body_of(dialect, stream=stream))
        assert client.status == 503
        assert b"harbour" not in client.data
        assert "x-should-retry" not in client.headers
        assert len(b.upstream.requests) == (where == "durable")
        assert b.total("requests_total", outcome="unrecorded") == 1
        ledger.refusing = ledger.broken = ledger.late = False
        client = await b.ask(dialect, body_of(dialect, stream=stream))
        assert (client.status, b.outcome["outcome"]) == (200, "served")


async def test_no_answer_byte_before_the_row_is_on_disk() -> None:
    """While the disk is busy the answer waits, head and all."""
    async with bench() as b:
        b.ledger.disk.clear()
        b.script(says(OPENAI, Said(LONG), stream=True))
        client = Client(body_of(OPENAI, stream=True))
        b.start(OPENAI, client)
        await b.reached()
        await asyncio.sleep(0.05)
        assert (client.status, client.data) == (0, b"")
        b.ledger.disk.set()
        await b.finish()
        assert (client.status, client.answer.done) == (200, True)


async def test_a_refusal_is_on_record_before_it_is_told() -> None:
    """A blocked request hears nothing until its row has been handed to the operating system."""
    written = asyncio.Event()

    class Slow(MemoryLedger):
        def append(self, kind, fields):  # type: ignore[no-untyped-def]  # as its base
            receipt = super().append(kind, fields)
            receipt.written = written.wait  # type: ignore[method-assign,assignment]  # waits for the test
            return receipt

    async with bench(ledger=Slow()) as b:
        client = Client(body_of(OPENAI, CANARY))
        b.start(OPENAI, client)
        await asyncio.sleep(0.05)
        assert (client.status, len(b.ledger.of(Kind.OUTCOME))) == (0, 1)
        written.set()
        await b.finish()
        assert client.status == 400


async def test_a_refusal_is_told_even_when_its_row_cannot_be_written() -> None:
    """A ledger that breaks costs no client its 404: nothing was done that the row would have recorded."""
    async with bench(counted=False) as b:
        b.ledger.broken = True
        assert (await b.ask(OPENAI, body_of(OPENAI, model="nobody"))).status == 404


@pytest.mark.parametrize("when", ["body", "verdict", "head", "stream", "slow"])
async def test_a_client_that_leaves(when: str) -> None:
    """Whenever a client hangs up its exchange ends as abandoned, and the model server is told within a second."""
    gate = asyncio.Event()
    scripts: dict[str, Script] = {"head": (Sleep(30),)}
    async with bench() as b:
        held = held_stream(events_of(OPENAI, Said(LONG)), len(LONG) - 2, gate)
        b.script(scripts.get(when, held))
        client = Client(body_of(OPENAI, stream=True))
        if when == "body":
            client.uploading.clear()
        if when == "verdict":
            b.classifier.mode = "hang"
        if when == "slow":
            client.gate.clear()
        b.start(OPENAI, client)
        if when in {"head", "stream", "slow"}:
            request = await b.reached()
        if when == "stream":
            await client.until("harbour")
        else:
            await asyncio.sleep(0.05)
        client.leave()
        await asyncio.wait_for(b.tasks[-1], PROMPT)
        assert b.outcome["outcome"] == "abandoned"
        assert not client.ended
        if when in {"head", "stream", "slow"}:
            await asyncio.wait_for(request.left.wait(), PROMPT)
        else:
            assert b.upstream.requests == []


async def test_a_client_that_leaves_before_its_refusal() -> None:
    """The last words to a client that is gone are lost, and the exchange ends all the same, as what it was."""
    async with bench() as b:
        client = Client(body_of(OPENAI, CANARY))
        client.head = client.gone_at_head  # type: ignore[method-assign]  # hangs up at the head
        b.start(OPENAI, client)
        await b.finish()
        assert b.outcome["outcome"] == "blocked_input"


async def test_a_cancelled_exchange_is_recorded() -> None:
    """The server's own cancellation passes through, and leaves an abandoned row and no reservation."""
    async with bench() as b:
        b.script((Sleep(30),))
        task = b.start(OPENAI, Client(body_of(OPENAI)))
        await b.reached()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert b.outcome["outcome"] == "abandoned"


async def test_a_fault_of_ours_is_a_typed_answer() -> None:
    """Whatever is wrong with us, the client gets a 500 of its dialect without any detail, and the ledger a row."""
    async with bench() as b:

        def broken(_: object) -> None:
            raise KeyError("secret detail")

        b.holder.subscribe = broken  # type: ignore[method-assign,assignment]  # a fault that no room would have
        client = await b.ask(ANTHROPIC, body_of(ANTHROPIC))
        assert (client.status, client.body["error"]["type"], b.outcome["outcome"]) == (500, "api_error", "failed")
        assert b"secret" not in client.data


async def test_draining_refuses_new_exchanges_and_ends_old_ones() -> None:
    """A draining replica answers 503; ``interrupt`` ends what is in flight with an error and no proper end."""
    gate = asyncio.Event()
    async with bench() as b:
        b.script(held_stream(events_of(OPENAI, Said(LONG)), len(LONG) - 2, gate))
        client = Client(body_of(OPENAI, stream=True))
        b.start(OPENAI, client)
        await client.until("harbour")
        b.pipeline.draining = True
        late = Client(body_of(OPENAI))
        await asyncio.wait_for(b.start(OPENAI, late), PATIENT)
        assert (late.status, late.body["error"]["code"]) == (503, "draining")
        assert b.pipeline.interrupt() == 1
        await asyncio.wait_for(b.pipeline.idle.wait(), PROMPT)
        assert (client.answer.done, client.answer.error is None) == (False, False)
        assert [row["outcome"] for row in b.ledger.of(Kind.OUTCOME)] == ["overloaded", "overloaded"]


async def test_a_ledger_without_room_refuses_new_exchanges() -> None:
    """503 before the body is read and before any control is asked; nothing is forwarded."""
    async with bench() as b:
        b.ledger.accepting = False
        client = await b.ask(OPENAI, body_of(OPENAI))
        assert (client.status, client.body["error"]["code"]) == (503, "overloaded")
        assert [(kind, row["outcome"]) for kind, row in b.ledger.rows] == [(Kind.OUTCOME, "overloaded")]
        b.ledger.accepting = True
        assert (await b.ask(OPENAI, body_of(OPENAI))).status == 200


async def test_a_model_without_a_server() -> None:
    """A model that is registered but has no model server is a 502, on record."""
    async with bench(snapshot=policy(models=(MODEL, "other"))) as b:
        client = await b.ask(OPENAI, body_of(OPENAI, model="other"))
        assert (client.status, b.outcome["outcome"], b.outcome["model"]) == (502, "upstream_failed", "other")


async def test_counters_and_rows_agree_over_a_mixed_day() -> None:
    """Many exchanges at once, of every ending: each has one row, and the counters say the same (checked by the bench)."""
    async with bench() as b:
        b.script(lambda request: says(OPENAI, Said(LONG), stream=b'"stream":true' in request.body))
        bodies = [
            body_of(OPENAI),
            body_of(OPENAI, stream=True),
            body_of(OPENAI, CANARY),
            body_of(OPENAI, model="nobody"),
            body_of(OPENAI, logprobs=True),
            b"{",
            body_of(OPENAI, "x", store=True, favourite="blue"),
        ]
        clients = [Client(body) for body in bodies * 4]
        for client in clients:
            b.start(OPENAI, client)
        for client in clients[1::7]:
            client.leave()
        await asyncio.wait_for(asyncio.gather(*b.tasks), PATIENT)
        outcomes = [row["outcome"] for row in b.ledger.of(Kind.OUTCOME)]
        expected = {"served": 8, "abandoned": 4, "blocked_input": 4, "refused": 12}
        assert {name: outcomes.count(name) for name in expected} == expected
        assert b.total("dropped_fields_total", field="store") + b.total("dropped_fields_total", field="other") >= 4
