"""The life of one exchange, from top to bottom:

client ─▶ edge ─▶ parse ─▶ resolve ─▶ admit ─▶ controls(input) ─▶ ledger(intent) ─▶ upstream
client ◀─ encode ◀─ screening ◀─ controls(output) ◀─ events ◀─┘          └─▶ ledger(outcome) + metrics

Every exchange that comes in here ends in exactly one outcome row, whatever happens; one that was refused before its model was known
may be counted instead, when there are many of them (``counted``).
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable

import structlog

from gateway.controls.base import Context
from gateway.errors import (
    BadRequest,
    Blocked,
    Draining,
    GatewayError,
    LedgerFull,
    LedgerUnavailable,
    UpstreamError,
    UpstreamMalformed,
)
from gateway.exchange import Direction, Exchange
from gateway.ledger.base import Kind, LedgerError, Receipt
from gateway.limits import Reservation
from gateway.metrics import Result
from gateway.pipeline.dice import Dice
from gateway.pipeline.guard import Guard, InForce
from gateway.pipeline.intake import read, reserve
from gateway.pipeline.ports import ClientGone, Headers, Outbound, Visitor
from gateway.pipeline.refusals import admit, outcome_of, refusal, spread
from gateway.pipeline.relay import AnswerStopped, Relay, record_failures
from gateway.pipeline.rooms import Rooms
from gateway.pipeline.trace import Trace
from gateway.screening import Screening
from gateway.terms import Terms
from gateway.upstream import UpstreamAnswer
from gateway.verdict import Outcome, Verdict
from gateway.wire.base import JSON_TYPE, SSE_TYPE, AnswerIds, Dialect, Reply, upstream_headers

log = structlog.get_logger("asl_gateway")

# Fields that clients of today send and that are dropped; any other name counts as ``other``, so that the label set stays closed.
KNOWN_DROPPED = frozenset(
    {
        "guided_json",
        "guided_regex",
        "guided_choice",
        "guided_grammar",
        "structured_outputs",
        "store",
        "prediction",
        "prompt_cache_key",
    }
    | {
        "logprobs",
        "top_logprobs",
        "prompt_logprobs",
        "best_of",
        "use_beam_search",
        "length_penalty",
        "cache_salt",
        "priority",
    }
    | {
        "moderation",
        "prompt_cache_options",
        "prompt_cache_retention",
        "diagnostics",
        "fallbacks",
        "inference_geo",
        "speed",
    }
)


class Pipeline:
    """Runs exchanges. ``draining`` refuses new ones; ``interrupt`` ends those in flight."""

    def __init__(self, rooms: Rooms) -> None:
        self.rooms = rooms
        self.draining = False
        self.idle = asyncio.Event()  # set while no exchange is in flight
        self.idle.set()
        self._guards: set[Guard] = set()
        self._dice = Dice()

    def interrupt(self) -> int:
        """End every exchange in flight as drained; the number of them."""
        guards = tuple(self._guards)
        for guard in guards:
            guard.fire(Draining("the gateway is shutting down"))
        return len(guards)

    @property
    def in_flight(self) -> int:
        """Exchanges in flight."""
        return len(self._guards)

    async def run(self, dialect: Dialect, visitor: Visitor) -> None:
        """Live one exchange to its end. Raises nothing but cancellation of the task from outside."""
        trace = self._trace(dialect, visitor)
        life = Life(self.rooms, dialect, visitor, trace)
        guard = Guard()
        self._guards.add(guard)
        self.idle.clear()
        try:
            try:
                with guard:
                    if self.draining:
                        raise Draining("the gateway is shutting down")
                    if not self.rooms.ledger.accepting:
                        raise LedgerFull("the record of decisions is nearly out of space")
                    await life.live(guard)
                    trace.result = Result.SERVED
            finally:
                life.close()
        except AnswerStopped as stopped:
            await life.stopped(stopped)
        except ClientGone:
            trace.result = Result.ABANDONED
        except GatewayError as error:
            await life.failed(error)
        except asyncio.CancelledError:
            trace.result = Result.ABANDONED
            raise
        except Exception as error:  # whatever is wrong with us, the client gets a typed answer and the ledger a row
            log.error("exchange_failed", decision=trace.decision, error=type(error).__name__, exc_info=True)
            await life.failed(GatewayError("the gateway failed"))
        finally:
            await life.conclude()
            self._guards.discard(guard)
            if not self._guards:
                self.idle.set()

    def _trace(self, dialect: Dialect, visitor: Visitor) -> Trace:
        ident = f"{int(self.rooms.clock.wall() * 1000):011x}{self._dice.take()}"
        return Trace(f"d-{ident}", f"r-{ident}", dialect.id, visitor.caller, self.rooms.clock.monotonic())


class Life:
    """One exchange on its way through the rooms."""

    def __init__(self, rooms: Rooms, dialect: Dialect, visitor: Visitor, trace: Trace) -> None:
        self._rooms, self._dialect, self._visitor, self._trace = rooms, dialect, visitor, trace
        self._reservation: Reservation | None = None
        self._force: InForce | None = None
        self._relay: Relay | None = None
        self._watch: asyncio.Task[None] | None = None
        self._recorded: Receipt | None = None
        self._counted = False  # among the refusals, in place of a row
        self._malformed = False

    async def live(self, guard: Guard) -> None:
        """The whole life. Raises AnswerStopped, ClientGone, GatewayError; the head may or may not have been sent then."""
        rooms, trace = self._rooms, self._trace
        exchange = await self._receive()
        self._watch = asyncio.create_task(self._notice(guard))
        force = self._force = InForce(rooms.holder, exchange, self._visitor.caller, guard)
        await self._judge(exchange, force)
        intent = self._append(Kind.INTENT, trace.intent_row())
        await self._ledger(intent.written())
        while force.terms is not trace.terms:  # tightened while the row was written
            await self._judge(exchange, force)
        trace.forwarded = rooms.clock.monotonic()
        answer = await self._forward(exchange, force.terms)
        try:
            await self._ledger(intent.durable())
            relay = self._relay = self._open_relay(exchange, force)
            await relay.run(answer)
        finally:
            await answer.close()

    async def _receive(self) -> Exchange:
        """Reserve, read and parse the body."""
        inbound, rooms, trace = self._visitor.inbound, self._rooms, self._trace
        reservation = self._reservation = reserve(inbound, self._visitor.caller, rooms.limits)
        digest = trace.digest(rooms.digest_key)
        body = await read(inbound, reservation, digest)
        trace.digested(digest)
        try:
            trace.exchange = await rooms.parser.parse(self._dialect, body, rooms.wire)
        except BadRequest:
            self._malformed = True
            raise
        return trace.exchange

    async def _notice(self, guard: Guard) -> None:
        await self._visitor.outbound.gone()
        guard.fire(ClientGone())

    async def _judge(self, exchange: Exchange, force: InForce) -> None:
        """Admit and judge the request under the terms in force, again while they tighten."""
        while force.terms is not self._trace.terms:
            terms = self._trace.terms = force.terms
            admit(exchange, terms)
            context = self._context(terms)
            before = self._rooms.clock.monotonic()
            ruling = await self._rooms.chain.judge_input(exchange, context)
            self._trace.waits.controls += self._rooms.clock.monotonic() - before
            self._trace.note(ruling.verdicts, Direction.INPUT)
            record_failures(self._trace, self._rooms.metrics, ruling, terms, Direction.INPUT)
            for control, seconds in ruling.seconds:
                self._rooms.metrics.observe("control_seconds", seconds, control, Direction.INPUT.value)
            self._rule(ruling.verdict, terms)
        force.check()
        force.passed(Direction.INPUT)

    def _rule(self, verdict: Verdict, terms: Terms) -> None:
        if verdict.outcome is Outcome.ALLOW:
            return
        self._trace.verdict, self._trace.direction = verdict, Direction.INPUT
        raise refusal(verdict, terms)

    def _context(self, terms: Terms) -> Context:
        return Context(self._visitor.caller, terms, self._trace.decision, int(self._rooms.clock.wall()))

    async def _forward(self, exchange: Exchange, terms: Terms) -> UpstreamAnswer:
        """Send our serialisation of what was screened."""
        upstream = self._rooms.upstreams.get(terms.model)
        if upstream is None:
            raise UpstreamError("no model server is configured for this model")
        headers = upstream_headers(self._dialect, stream=exchange.stream, request_id=self._trace.request, extra={})
        before = self._rooms.clock.monotonic()
        try:
            answer = await upstream.open(self._dialect.path, headers, self._dialect.request(exchange, terms.model))
        finally:
            self._trace.waits.upstream += self._rooms.clock.monotonic() - before
        wanted = "text/event-stream" if exchange.stream else JSON_TYPE
        if answer.content_type != wanted:
            await answer.close()
            raise UpstreamMalformed(f"the model server's answer is not {wanted}")
        return answer

    def _open_relay(self, exchange: Exchange, force: InForce) -> Relay:
        rooms, terms = self._rooms, force.terms
        self._trace.terms = terms  # what came while the model server was silent is in force for its whole answer
        judges = rooms.chain.open_answer(exchange, self._context(terms))
        force.passed(Direction.OUTPUT)
        assert self._reservation is not None
        return Relay(
            trace=self._trace,
            force=force,
            terms=terms,
            judges=judges,
            screening=Screening(judges.groups, hold=terms.hold, cap=rooms.wire.answer_bytes),
            reader=self._dialect.reader(exchange, rooms.wire),
            writer=self._dialect.writer(exchange, self._ids(terms.model)),
            outbound=self._visitor.outbound,
            headers=self._headers(SSE_TYPE if exchange.stream else JSON_TYPE),
            reservation=self._reservation,
            clock=rooms.clock,
            metrics=rooms.metrics,
            stream=exchange.stream,
        )

    def _ids(self, model: str) -> AnswerIds:
        return AnswerIds(self._trace.decision, model, int(self._rooms.clock.wall()))

    def _headers(self, content_type: str, *, retry: bool = True) -> Headers:
        """Our headers; none of the upstream's is among them."""
        trace = self._trace
        headers = [("content-type", content_type), ("cache-control", "no-store"), ("x-request-id", trace.request)]
        headers += [("request-id", trace.request), ("x-asl-decision-id", trace.decision)]
        if trace.exchange and trace.exchange.dropped:
            headers.append(
                (
                    "x-asl-dropped",
                    ",".join(name for name in trace.exchange.dropped if name.isascii() and name.isidentifier()),
                )
            )
        if not retry:
            headers.append(("x-should-retry", "false"))
        if self._malformed:  # whoever sends nonsense pays with its connection, so that one connection is no flood
            headers.append(("connection", "close"))
        return tuple(headers)

    def _append(self, kind: Kind, row: dict[str, str | int]) -> Receipt:
        try:
            receipt = self._rooms.ledger.append(kind, row)
        except LedgerError as error:
            raise LedgerUnavailable("the decision could not be recorded") from error
        self._rooms.metrics.count("ledger_rows_total", kind.value)
        return receipt

    async def _ledger(self, waiting: Awaitable[None]) -> None:
        before = self._rooms.clock.monotonic()
        try:
            await waiting
        except LedgerError as error:
            raise LedgerUnavailable("the decision could not be recorded") from error
        finally:
            self._trace.waits.ledger += self._rooms.clock.monotonic() - before

    async def stopped(self, stop: AnswerStopped) -> None:
        """An answer was blocked, or could not be judged."""
        trace = self._trace
        trace.verdict, trace.direction = stop.verdict, Direction.OUTPUT
        blocked = isinstance(stop.error, Blocked)
        trace.result = Result.BLOCKED_OUTPUT if blocked else Result.UNEVALUATED
        assert self._relay is not None
        if not blocked:
            await self._tell(stop.error)
        else:
            trace.finish = "content_filter"
            self._relay.headers = self._headers(SSE_TYPE if self._relay.stream else JSON_TYPE, retry=False)
            await self._closing(self._relay.close_blocked())

    async def failed(self, error: GatewayError) -> None:
        """Anything else that ended the exchange before its proper end."""
        self._trace.result = outcome_of(error)
        await self._tell(error)

    async def _tell(self, error: GatewayError) -> None:
        if self._relay is not None and self._relay.begun:
            self._trace.finish = "error"
            await self._closing(self._relay.close_failed(error))
        else:
            reply = self._reply(error)
            self._trace.status = reply.status
            await self._record(error)
            await self._closing(self._send(reply, retry=error.retryable))

    def _reply(self, error: GatewayError) -> Reply:
        if isinstance(error, Blocked) and self._trace.exchange is not None:
            return self._dialect.input_blocked(self._trace.exchange, self._ids(self._trace.model))
        spread(error)
        return self._dialect.error(error, self._trace.request)

    async def _send(self, reply: Reply, *, retry: bool) -> None:
        outbound: Outbound = self._visitor.outbound
        content_type = dict(reply.headers).get("content-type", JSON_TYPE)
        rest = tuple(pair for pair in reply.headers if pair[0] != "content-type")
        length = ("content-length", str(len(reply.body)))
        await outbound.head(reply.status, (*self._headers(content_type, retry=retry), *rest, length))
        await outbound.send(reply.body)
        await outbound.end()

    async def _closing(self, ending: Awaitable[None]) -> None:
        """Say the last words; a client that has left does not hear them."""
        with contextlib.suppress(ClientGone):
            await ending

    async def _record(self, error: GatewayError) -> None:
        """A refusal is on record before it is told (rule 5), unless it says that the record could not be made."""
        if isinstance(error, LedgerUnavailable):
            return
        if self._is_counted(error.code):
            return
        if self._relay is not None:
            self._relay.account()
        try:
            self._recorded = self._append(Kind.OUTCOME, self._trace.outcome_row(self._rooms.clock.monotonic()))
            await self._recorded.written()
        except (LedgerUnavailable, LedgerError):
            log.error("outcome_not_recorded", decision=self._trace.decision)

    def _is_counted(self, reason: str) -> bool:
        """Whether the exchange is counted in place of a row: refused before its model was known, one of many in this second."""
        trace = self._trace
        if not self._counted and self._recorded is None and trace.terms is None and trace.result is not Result.FAILED:
            self._counted = not self._rooms.refusals.own_row()
            if self._counted:
                self._rooms.refusals.count(reason)
        return self._counted

    async def conclude(self) -> None:
        """The outcome row, if it was not written before the answer, and the counts."""
        now = self._rooms.clock.monotonic()
        trace = self._trace
        if self._relay is not None:
            self._relay.account()
        if self._recorded is None and not self._is_counted(trace.result.value):
            try:
                self._append(Kind.OUTCOME, trace.outcome_row(now))
            except LedgerUnavailable:
                log.error("outcome_not_recorded", decision=trace.decision)
        if trace.exchange is not None:
            for name in trace.exchange.dropped:
                self._rooms.metrics.count("dropped_fields_total", name if name in KNOWN_DROPPED else "other")
        trace.count(self._rooms.metrics, now)

    def close(self) -> None:
        """Stop watching, and give the memory back."""
        if self._watch is not None:
            self._watch.cancel()
        if self._force is not None:
            self._force.close()
        if self._reservation is not None:
            self._reservation.release()
