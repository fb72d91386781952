"""The data plane over ASGI: exact routes, frozen heads, the list of models, and refusals counted instead of written one by one."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from support.asgi import Asgi, Pair, call, posted, scope
from support.canary import CANARY
from support.fake_clock import FakeClock
from support.memory_ledger import MemoryLedger
from support.pipelines import BOTH_DIALECTS, MODEL, OPENAI, Bench, bench, body_of, policy, says

from gateway.dataplane import DataPlane, every
from gateway.demo.answers import Said
from gateway.demo.scripted import Sleep
from gateway.edge_peer import PEER
from gateway.exchange import Certificate
from gateway.ledger.base import Kind
from gateway.metrics import metrics
from gateway.pipeline.counted import Refusals
from gateway.policy.snapshot import Snapshot
from gateway.wire.base import Dialect
from gateway.wire.dialects import dialects as served

CHAT = b"/v1/chat/completions"
dialects = pytest.mark.parametrize("dialect", BOTH_DIALECTS, ids=lambda dialect: dialect.id)

SPELLINGS = [
    b"/",
    b"",
    b"*",
    b"/v1",
    b"/v1/",
    b"//v1/chat/completions",
    b"/v1//chat/completions",
    b"/v1/chat//completions",
    b"/v1/chat/completions/",
    b"/v1/chat/completions//",
    b"/v1/chat/completions;x",
    b"/v1/chat/completions%20",
    b"/v1/chat/completions%00",
    b"/v1/chat/completions\x00",
    b"/v1/chat/completions%2f",
    b"/v1/chat/completions.",
    b"/v1/chat/completions/..",
    b"/v1/chat/./completions",
    b"/v1/./chat/completions",
    b"/v1/x/../chat/completions",
    b"/v1/chat%2fcompletions",
    b"/v1%2Fchat%2Fcompletions",
    b"/v1/ch%61t/completions",
    b"/%761/chat/completions",
    b"/V1/chat/completions",
    b"/v1/Chat/Completions",
    b"/v1/chat/completion",
    b"/v1/chat\\completions",
    b"\\v1\\chat\\completions",
    b"v1/chat/completions",
    b"http://127.0.0.1/v1/chat/completions",
    b"/v1/messages/",
    b"/v1/messages/count_tokens/",
    b"/v1/messages/batches",
    b"/v1/Messages",
    b"/v1/m%65ssages",
    b"/v1/completions",
    b"/v1/responses",
    b"/v1/embeddings",
    b"/v1/model",
    b"/v1/modelsx",
    b"/metrics",
    b"/readyz",
    b"/api/v1/models",
    b"/api/v1/screen",
]


def plane_of(b: Bench) -> tuple[DataPlane, Refusals]:
    """A data plane in front of a bench's pipeline."""
    refusals = Refusals(b.ledger, b.metrics, b.clock)
    return DataPlane(b.pipeline, served(), b.holder, refusals, 1_790_000_000), refusals


def headers_of(body: bytes, *more: Pair) -> list[Pair]:
    """The head of a JSON request."""
    return [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode()), *more]


@pytest.mark.parametrize("method", ["POST", "GET"])
async def test_every_other_spelling_of_a_route_is_unknown(method: str) -> None:
    """Routes are compared byte for byte: nothing is decoded, folded or cleaned up, and nothing is forwarded."""
    assert len(set(SPELLINGS)) == len(SPELLINGS) > 33
    async with bench() as b:
        plane, refusals = plane_of(b)
        body = body_of(OPENAI)
        for path in SPELLINGS:
            asgi = await call(plane, method, path, headers_of(body), posted(body))
            assert (asgi.status, asgi.body["error"]["code"]) == (404, "unknown_route"), path
            assert asgi.ended
        assert b.upstream.requests == []
        refusals.flush()
        (row,) = b.ledger.of(Kind.REFUSALS)
        assert (row["reason"], row["count"]) == ("unknown_route", len(SPELLINGS))
        assert b.total("refusals_total", reason="unknown_route") == len(SPELLINGS)


@dialects
@pytest.mark.parametrize("parts", [1, 3])
async def test_an_exchange_over_asgi(dialect: Dialect, parts: int) -> None:
    """The exact route serves, with the body in any number of messages."""
    async with bench() as b:
        b.script(says(dialect, Said(("Good day.",)), stream=False))
        body = body_of(dialect)
        asgi = await call(plane_of(b)[0], "POST", dialect.path.encode(), headers_of(body), posted(body, parts=parts))
        assert (asgi.status, asgi.ended) == (200, True)
        assert b"Good day." in asgi.data
        assert asgi.headers["x-request-id"] == asgi.headers["request-id"]
        b.tasks.append(asyncio.ensure_future(asyncio.sleep(0)))  # one exchange, which the bench did not start itself


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", CHAT),
        ("PUT", CHAT),
        ("OPTIONS", CHAT),
        ("post", CHAT),
        ("DELETE", b"/v1/messages"),
        ("HEAD", b"/v1/messages"),
        ("POST", b"/v1/models"),
        ("HEAD", b"/v1/models"),
        ("POST", b"/v1/models/demo-model"),
    ],
)
async def test_other_methods(method: str, path: bytes) -> None:
    """405 on a known route, and nothing is forwarded."""
    async with bench() as b:
        asgi = await call(plane_of(b)[0], method, path)
        assert (asgi.status, asgi.body["error"]["code"]) == (405, "method_not_allowed")
        assert b.upstream.requests == []


@pytest.mark.parametrize("anthropic", [False, True])
@pytest.mark.parametrize(
    ("snapshot", "listed"),
    [
        (policy(models=(MODEL, "other")), [MODEL, "other"]),
        (policy(brake=5, models=(MODEL, "other")), ["other"]),
        (policy(4, models=(MODEL,)), []),
    ],
    ids=["all", "one halted", "none assessed"],
)
async def test_only_serving_models_are_listed(snapshot: Snapshot, listed: list[str], *, anthropic: bool) -> None:
    """The list and the single pages follow the policy in force, in both shapes; aliases are not listed."""
    head = [(b"anthropic-version", b"2023-06-01")] if anthropic else []
    async with bench(snapshot=snapshot) as b:
        plane, _ = plane_of(b)
        page = await call(plane, "GET", b"/v1/models", head)
        assert (page.status, [model["id"] for model in page.body["data"]]) == (200, listed)
        assert ("has_more" in page.body) is anthropic
        assert all(("display_name" in model) is anthropic for model in page.body["data"])
        for name in (MODEL, "other", f"{MODEL}-alias", "nobody"):
            one = await call(plane, "GET", f"/v1/models/{name}".encode(), head)
            assert one.status == (200 if name in listed else 404)
            if name not in listed:
                assert one.body["error"]["type"] == "not_found_error"
                assert ("type" in one.body) is anthropic
        b.holder.swap(policy(brake=5, models=(MODEL,), revision=9))
        assert (await call(plane, "GET", b"/v1/models", head)).body["data"] == []


async def test_a_models_name_is_decoded_once() -> None:
    """A percent-encoded name is the same name; one that is no UTF-8, or encoded twice, is nobody's."""
    async with bench() as b:
        plane, _ = plane_of(b)
        assert (await call(plane, "GET", b"/v1/models/demo%2Dmodel")).status == 200
        for path in (b"demo%252Dmodel", b"%ff", b"", b"demo-model/", b"../demo-model"):
            assert (await call(plane, "GET", b"/v1/models/" + path)).status == 404


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ([(b"content-type", b"application/json")], 200),
        ([(b"content-type", b"Application/JSON; charset=UTF-8")], 200),
        ([(b"content-type", b'application/json;charset="utf-8"')], 200),
        ([(b"content-type", b"application/json; charset=utf-16")], 415),
        ([(b"content-type", b"application/json; boundary=x")], 415),
        ([(b"content-type", b"text/plain")], 415),
        ([], 415),
        ([(b"content-type", b"application/json"), (b"content-encoding", b"gzip")], 415),
        ([(b"content-type", b"application/json"), (b"content-encoding", b" Identity ")], 200),
    ],
)
async def test_content_types_and_codings(headers: list[Pair], status: int) -> None:
    """Plain JSON in UTF-8 and nothing else."""
    async with bench() as b:
        body = body_of(OPENAI)
        head = [*headers, (b"content-length", str(len(body)).encode())]
        asgi = await call(plane_of(b)[0], "POST", CHAT, head, posted(body))
        assert asgi.status == status
        b.tasks.append(asyncio.ensure_future(asyncio.sleep(0)))


@pytest.mark.parametrize(
    ("head", "declared"), [([(b"content-length", b"12")], 12), ([(b"transfer-encoding", b"chunked")], None), ([], 0)]
)
async def test_the_declared_length(head: list[Pair], declared: int | None) -> None:
    """A length, none for a chunked body, nothing for no body: what the reservation is made from."""
    seen: list[Any] = []

    class Looks:
        async def run(self, dialect: Dialect, visitor: Any) -> None:
            seen.append(visitor.inbound.declared)

    async with bench() as b:
        plane = DataPlane(Looks(), served(), b.holder, plane_of(b)[1], 0)  # type: ignore[arg-type]  # only run is called
        await call(plane, "POST", CHAT, head)
        assert seen == [declared]


async def test_headers_are_frozen_before_the_body() -> None:
    """A trailer that the server appends to the list of headers while the body is read changes nothing."""
    async with bench() as b:
        plane, _ = plane_of(b)
        body = body_of(OPENAI, CANARY)
        asked = scope("POST", CHAT, headers_of(body))
        asgi = Asgi(*posted(body, parts=2))
        plain = asgi.receive

        async def receive() -> Any:
            asked["headers"] += [(b"content-type", b"text/plain"), (b"content-encoding", b"gzip")]
            return await plain()

        await asyncio.wait_for(plane(asked, receive, asgi.send), 30)
        assert (asgi.status, asgi.body["error"]["code"]) == (400, "content_filter")
        b.tasks.append(asyncio.ensure_future(asyncio.sleep(0)))


@pytest.mark.parametrize("when", ["body", "answer"])
async def test_a_disconnect_ends_the_exchange(when: str) -> None:
    """A client that leaves while it sends, or while it waits, is an abandoned exchange; what it still sends is not read."""
    async with bench() as b:
        b.script((Sleep(30),))
        body = body_of(OPENAI)
        messages: list[dict[str, Any]] = posted(body)
        if when == "body":
            messages = [{"type": "http.request", "body": body[:5], "more_body": True}, {"type": "http.disconnect"}]
        else:
            messages.append({"type": "http.request", "body": b"pipelined", "more_body": False})
        asgi = Asgi(*messages)
        task = asyncio.ensure_future(plane_of(b)[0](scope("POST", CHAT, headers_of(body)), asgi.receive, asgi.send))
        b.tasks.append(task)
        if when == "answer":
            request = await b.reached()
            asgi.leave()
            await asyncio.wait_for(request.left.wait(), 30)
        await asyncio.wait_for(task, 30)
        assert (b.outcome["outcome"], asgi.status) == ("abandoned", 0)


async def test_what_is_no_http_is_left_alone() -> None:
    """A scope of another kind is not answered."""
    async with bench() as b:
        asgi = Asgi()
        await plane_of(b)[0]({"type": "lifespan"}, asgi.receive, asgi.send)
        assert asgi.status == 0


def test_refusals_are_one_row_per_reason_and_second() -> None:
    """A flood makes one row a second and reason, written when the second is over; the rest waits for ``flush``."""
    ledger, counts, clock = MemoryLedger(), metrics(), FakeClock()
    refusals = Refusals(ledger, counts, clock)
    for _ in range(1000):
        refusals.count("unknown_route")
    refusals.count("bad_head")
    assert ledger.rows == []
    clock.advance(1)
    refusals.count("unknown_route")
    start = int(clock.wall()) - 1
    assert ledger.of(Kind.REFUSALS) == [
        {"reason": "bad_head", "second": start, "count": 1},
        {"reason": "unknown_route", "second": start, "count": 1000},
    ]
    refusals.flush(but=int(clock.wall()))
    assert len(ledger.rows) == 2
    refusals.flush()
    assert ledger.of(Kind.REFUSALS)[-1] == {"reason": "unknown_route", "second": start + 1, "count": 1}


def test_refusals_wait_for_a_ledger_that_refuses() -> None:
    """Counts are kept while rows cannot be written, and none is lost or doubled."""
    ledger, clock = MemoryLedger(), FakeClock()
    refusals = Refusals(ledger, metrics(), clock)
    refusals.count("unknown_route")
    ledger.refusing = True
    refusals.flush()
    ledger.refusing = False
    refusals.flush()
    refusals.flush()
    assert [row["count"] for row in ledger.of(Kind.REFUSALS)] == [1]


async def test_every_calls_again_and_again() -> None:
    """Until it is cancelled."""
    calls: list[int] = []
    task = asyncio.ensure_future(every(0.001, lambda: calls.append(1)))
    async with asyncio.timeout(30):
        while len(calls) < 3:
            await asyncio.sleep(0.001)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_what_the_clients_certificate_proves_goes_with_the_caller() -> None:
    """From the scope's own key, which only the edge can set; a header of that name is a header."""
    shown = Certificate("sha256:" + "0" * 64, "CN=x", "CN=y")
    async with bench(counted=False) as b:
        plane, _ = plane_of(b)
        for peer, headers in ((shown, ()), (None, ((PEER.encode(), shown.fingerprint.encode()),))):
            asgi = Asgi(*posted(body_of(OPENAI)))
            given = scope("POST", CHAT, [(b"content-type", b"application/json"), *headers])
            await asyncio.wait_for(plane({**given, PEER: peer}, asgi.receive, asgi.send), 30)
            assert asgi.status == 200
        rows = b.ledger.of(Kind.INTENT)
    assert [row.get("certificate") for row in rows] == [shown.fingerprint, None]
