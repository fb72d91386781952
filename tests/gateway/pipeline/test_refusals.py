"""The table of what a client sees: every refusal in both dialects, nothing forwarded, no raw byte of the model server relayed."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from support.canary import CANARY
from support.control_values import terms
from support.pipelines import (
    BOTH_DIALECTS,
    MIB,
    OPENAI,
    PATIENT,
    SENTENCE,
    Client,
    bench,
    body_of,
    policy,
    says,
)

from gateway.demo.answers import Said
from gateway.demo.scripted import CHUNKED, Close, Reset, Script, Send, Sleep, chunk, head, streamed, unary
from gateway.errors import (
    Blocked,
    FeatureRefused,
    GatewayError,
    NotAssessed,
    SafeguardUnavailable,
    ServingHalted,
    TooLarge,
)
from gateway.ledger.base import Kind
from gateway.limits import Limits
from gateway.metrics import Result
from gateway.pipeline.refusals import RETRY_SPREAD, outcome_of, refusal
from gateway.upstream import Deadlines
from gateway.verdict import Cause, Outcome, Reason, Verdict, failed
from gateway.wire.base import Dialect

dialects = pytest.mark.parametrize("dialect", BOTH_DIALECTS, ids=lambda dialect: dialect.id)
streams = pytest.mark.parametrize("stream", [False, True], ids=["unary", "stream"])
SECRET = "raw words of the model server"


def kind_and_code(client: Client) -> tuple[str, str | None]:
    """The type and, in OpenAI's shape, the code of an error body."""
    error = client.body["error"]
    return error["type"], error.get("code")


@dialects
@streams
@pytest.mark.parametrize(
    ("snapshot", "code", "asl"),
    [
        (policy(brake=5), "asl_serving_halted", "asl-5"),
        (policy(5), "asl_serving_halted", "asl-5"),
        (policy(brake=4), "asl_serving_halted", "asl-4"),
        (policy(4), "asl_not_assessed", "asl-4"),
    ],
    ids=["braked to 5", "record at 5", "braked to 4", "record at 4"],
)
async def test_a_model_that_may_not_serve(
    dialect: Dialect, snapshot: Any, code: str, asl: str, *, stream: bool
) -> None:
    """403 permission_error with its code; nothing is judged or forwarded, and the row says which level it was."""
    async with bench(snapshot=snapshot) as b:
        client = await b.ask(dialect, body_of(dialect, stream=stream))
        assert client.status == 403
        assert kind_and_code(client) == ("permission_error", code)
        assert client.headers["x-should-retry"] == "false"
        assert (b.outcome["outcome"], b.outcome["asl"], b.outcome["controls"]) == ("halted", asl, "")
        assert b.upstream.requests == []
        assert b.ledger.of(Kind.INTENT) == []


BAD: dict[str, tuple[int, str, dict[str, Any]]] = {
    "unknown model": (404, "model", {"model": "nobody"}),
    "model in another case": (404, "model", {"model": "Demo-Model"}),
    "no messages": (400, "messages", {"messages": []}),
    "unknown role": (400, "messages[0].role", {"messages": [{"role": "wizard", "content": "x"}]}),
    "unknown part": (
        400,
        "messages[0]",
        {"messages": [{"role": "user", "content": [{"type": "smell", "smell": "x"}]}]},
    ),
    "logprobs at ASL-3": (400, "logprobs", {"logprobs": True}),
}


@dialects
@pytest.mark.parametrize("case", BAD)
async def test_bad_requests_name_the_field(dialect: Dialect, case: str) -> None:
    """The dialect's own error names what is wrong; nothing is forwarded, and the refusal is on record."""
    status, name, more = BAD[case]
    if case.startswith("logprobs") and dialect is not OPENAI:
        name, more = "messages", {"messages": "text"}  # that dialect has no logprobs
    async with bench() as b:
        client = await b.ask(dialect, body_of(dialect, **more))
        assert client.status == status
        error = client.body["error"]
        assert name in str(error.get("param") or "") + error["message"]
        assert (b.outcome["outcome"], b.outcome["status"]) == ("refused", status)
        assert b.upstream.requests == []


@dialects
@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'{"a":NaN}', b"\xff{}", b'{"model":"a","model":"b"}'])
async def test_bytes_that_are_no_request(dialect: Dialect, body: bytes) -> None:
    """400 of the dialect for anything that is not one strict JSON object."""
    async with bench() as b:
        client = await b.ask(dialect, body)
        assert (client.status, kind_and_code(client)[0]) == (400, "invalid_request_error")
        assert (b.outcome["outcome"], b.outcome["model"], b.outcome["policy"]) == ("refused", "none", "none")


async def test_a_feature_is_refused_where_the_level_says_so() -> None:
    """Logprobs pass at ASL-1 and are never relayed; at ASL-3 they are refused by name."""
    async with bench(1) as b:
        assert (await b.ask(OPENAI, body_of(OPENAI, logprobs=True))).status == 200
    async with bench(3) as b:
        client = await b.ask(OPENAI, body_of(OPENAI, logprobs=True))
        assert (client.status, client.body["error"]["param"]) == (400, "logprobs")


async def test_unknown_fields_are_dropped_and_named() -> None:
    """A dropped field is named to the client, counted, and not in what is forwarded; a name that is no word is not echoed."""
    async with bench() as b:
        odd: dict[str, Any] = {"favourite": "blue", "bad\r\nname": 1}
        client = await b.ask(OPENAI, body_of(OPENAI, **odd))
        assert (client.status, client.headers["x-asl-dropped"]) == (200, "favourite")
        assert b"favourite" not in b.upstream.requests[0].body
        assert b.total("dropped_fields_total", field="other") == 2


@dialects
async def test_a_prompt_over_the_screening_budget(dialect: Dialect) -> None:
    """413 naming the limit of the level; the sender can shorten it, so that it is a block and not worth a retry."""
    async with bench(snapshot=policy(budget=4)) as b:
        client = await b.ask(dialect, body_of(dialect, SENTENCE * 20))
        assert (client.status, client.headers["x-should-retry"]) == (413, "false")
        assert "4 screening windows" in client.body["error"]["message"]
        assert (b.outcome["reason"], b.outcome["cause"], b.upstream.requests) == ("over_budget", "input", [])


@dialects
@pytest.mark.parametrize(
    ("how", "status"), [({"media_type": "text/plain"}, 415), ({"media_type": ""}, 415), ({"coding": "gzip"}, 415)]
)
async def test_bodies_that_are_not_plain_json(dialect: Dialect, how: dict[str, str], status: int) -> None:
    """415 before a byte of the body is read."""
    async with bench() as b:
        client = await b.ask(dialect, body_of(dialect), **how)
        assert (client.status, kind_and_code(client)[0]) == (status, "invalid_request_error")
        assert client.parts
        assert (await b.ask(dialect, body_of(dialect), coding="identity")).status in {200, 502}


@dialects
@pytest.mark.parametrize("chunked", [False, True])
async def test_a_body_over_the_limit(dialect: Dialect, *, chunked: bool) -> None:
    """413, declared or not."""
    async with bench(limits=Limits(MIB, 10_000, 10)) as b:
        client = await b.ask(dialect, body_of(dialect, "x" * 20_000), chunked=chunked)
        assert (client.status, b.outcome["outcome"]) == (413, "refused")


@dialects
@pytest.mark.parametrize("limits", [Limits(1000, MIB, 10), Limits(MIB, MIB, 0)], ids=["memory", "streams"])
async def test_a_full_replica_refuses_early(dialect: Dialect, limits: Limits) -> None:
    """503, worth a retry, before the body is read."""
    async with bench(limits=limits) as b:
        client = await b.ask(dialect, body_of(dialect))
        assert (client.status, b.outcome["outcome"]) == (503, "overloaded")
        assert client.parts
        assert "x-should-retry" not in client.headers


async def test_a_body_of_unknown_length_grows_its_reservation() -> None:
    """A chunked body that outgrows the memory is refused while it is read."""
    async with bench(limits=Limits(90_000, MIB, 10)) as b:
        client = await b.ask(OPENAI, body_of(OPENAI, "x" * 50_000), chunked=True)
        assert (client.status, b.outcome["outcome"]) == (503, "overloaded")
        assert client.parts


HEADLESS = (Sleep(30),)
UPSTREAM: dict[str, tuple[Script, int, str]] = {
    "429": (unary(SECRET.encode(), 429), 429, "rate_limit_error"),
    "404": (unary(SECRET.encode(), 404), 404, "invalid_request_error"),
    "401": (unary(SECRET.encode(), 401), 502, "api_error"),
    "500": (unary(SECRET.encode(), 500, "text/html"), 502, "api_error"),
    "redirect": (unary(SECRET.encode(), 302), 502, "api_error"),
    "silence": (HEADLESS, 504, "api_error"),
    "reset": ((Reset(),), 502, "api_error"),
    "closed": ((Close(),), 502, "api_error"),
    "no http": ((Send(SECRET.encode() + b"\r\n\r\n"), Close()), 502, "api_error"),
    "wrong type": (unary(SECRET.encode(), 200, "text/html"), 502, "api_error"),
    "no json": (unary(SECRET.encode()), 502, "api_error"),
    "no event": (streamed([b"data: " + SECRET.encode() + b"\n\n"]), 502, "api_error"),
    "other shape": (unary(b'{"error":{"message":"' + SECRET.encode() + b'"}}'), 502, "api_error"),
    "cut short": ((Send(head(length=1000) + SECRET.encode()), Close()), 502, "api_error"),
}


@dialects
@streams
@pytest.mark.parametrize("case", UPSTREAM)
async def test_what_goes_wrong_at_the_model_server(dialect: Dialect, case: str, *, stream: bool) -> None:
    """Its 4xx pass as a status with our own body, the rest is 502 or 504; no raw byte of it reaches the client."""
    script, status, kind = UPSTREAM[case]
    async with bench(deadlines=Deadlines(1, 0.2, 0.2, 1)) as b:
        b.script(script)
        client = await b.ask(dialect, body_of(dialect, stream=stream))
        assert (client.status, b.outcome["outcome"], b.outcome["status"]) == (status, "upstream_failed", status)
        assert SECRET.encode() not in client.data
        assert kind_and_code(client)[0] == kind or (dialect is not OPENAI and case == "404")
        assert (b.outcome["released"], len(b.ledger.of(Kind.INTENT))) == (0, 1)


@dialects
@pytest.mark.parametrize("end", ["reset", "idle", "nonsense"])
async def test_a_stream_that_goes_wrong_in_its_middle(dialect: Dialect, end: str) -> None:
    """An error event and no proper end; the tail that was not cleared, and raw bytes, never leave."""
    endings: dict[str, Script] = {
        "reset": (Sleep(0.05), Reset()),
        "idle": (Sleep(30),),
        "nonsense": (
            Sleep(0.05),
            Send(chunk(b"data: " + SECRET.encode() + b"\n\n")),
        ),
    }
    async with bench(deadlines=Deadlines(1, 1, 0.3, 5)) as b:
        whole = says(dialect, Said((SENTENCE,) * 8), stream=True)
        b.script((*whole[:7], *endings[end]))
        client = await b.ask(dialect, body_of(dialect, stream=True))
        assert (client.status, client.answer.done, client.answer.error is None) == (200, False, False)
        assert SECRET.encode() not in client.data
        assert (b.outcome["outcome"], b.outcome["finish"]) == ("upstream_failed", "error")


async def test_an_answer_over_the_limit_is_cut() -> None:
    """A model server that never ends its answer is cut at the limit of an answer."""
    async with bench() as b:
        endless = says(OPENAI, Said(("x" * 60_000,) * 90), stream=True)
        b.script((Send(head(content_type="text/event-stream", length=CHUNKED)), *endless[1:]))
        b.start(OPENAI, client := Client(body_of(OPENAI, stream=True)))
        await asyncio.wait_for(b.tasks[-1], PATIENT)
        assert (client.answer.done, b.outcome["outcome"]) == (False, "upstream_failed")


def test_verdicts_become_errors() -> None:
    """Every verdict on an input has its error: safety, level, our own failure, the sender's budget."""
    table: list[tuple[Verdict, type[GatewayError]]] = [
        (Verdict(Outcome.BLOCK, "halt", Reason.SERVING_HALTED), ServingHalted),
        (Verdict(Outcome.BLOCK, "halt", Reason.NOT_ASSESSED), NotAssessed),
        (failed("x", Reason.CONTROL_RAISED), SafeguardUnavailable),
        (Verdict(Outcome.COULD_NOT_EVALUATE, "x", Reason.OVER_BUDGET, Cause.INPUT), TooLarge),
        (Verdict(Outcome.COULD_NOT_EVALUATE, "x", Reason.UNREADABLE, Cause.INPUT), Blocked),
        (Verdict(Outcome.BLOCK, "x", Reason.RULE_MATCHED), Blocked),
    ]
    for verdict, kind in table:
        assert type(refusal(verdict, terms())) is kind
        assert CANARY not in refusal(verdict, terms()).message


def test_errors_become_outcomes() -> None:
    """An error that has no outcome of its own is refused below 500, and failed from there."""
    assert outcome_of(FeatureRefused("x")) is Result.REFUSED
    assert outcome_of(GatewayError("x")) is Result.FAILED


@dialects
async def test_clients_do_not_come_back_all_at_once(dialect: Dialect) -> None:
    """A 503 of ours names whole seconds from one up, and not always the same."""
    async with bench(limits=Limits(MIB, MIB, 0)) as b:
        seen = {(await b.ask(dialect, body_of(dialect))).headers["retry-after"] for _ in range(100)}
    assert seen == {str(seconds) for seconds in range(1, RETRY_SPREAD + 1)}
    assert len(seen) > 1
