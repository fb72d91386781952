"""The answer half of an exchange: upstream bytes in, cleared bytes out. The same path for unary and streamed answers."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

from gateway.clock import Clock
from gateway.controls.answer_chain import AnswerChain, AnswerRuling
from gateway.controls.chain import Ruling
from gateway.errors import Blocked, GatewayError, SafeguardUnavailable
from gateway.exchange import AnswerEvent, Direction, Finish, Piece, TextDelta, ToolCallStart
from gateway.limits import Reservation
from gateway.metrics import Metrics
from gateway.pipeline.guard import InForce
from gateway.pipeline.ports import Headers, Outbound
from gateway.pipeline.trace import Trace
from gateway.screening import Nonsense, Screening
from gateway.terms import Terms
from gateway.upstream import UpstreamAnswer
from gateway.verdict import Cause, Outcome, Verdict
from gateway.wire.base import AnswerReader, AnswerWriter

# Text of an answer is kept for substitutes and for rules that are added in mid-stream; measured at 3 copies of up to 2 bytes.
TEXT_FACTOR = 6
LOT = 64 * 1024
RELEASED = 64  # events written in one turn: up to 20 us each
CHARACTERS_PER_TOKEN = 4


class AnswerStopped(Exception):
    """The answer must not go on. ``error`` is what the client is told if its answer has not begun."""

    def __init__(self, verdict: Verdict) -> None:
        super().__init__(verdict.reason.value)
        self.verdict = verdict
        infrastructure = verdict.cause is Cause.INFRASTRUCTURE
        self.error: GatewayError = (
            SafeguardUnavailable("a safeguard could not judge the answer")
            if infrastructure
            else Blocked("the answer was blocked")
        )


@dataclass(slots=True)
class Relay:
    """One answer on its way. ``begun`` is true once the client has the head."""

    trace: Trace
    force: InForce
    terms: Terms
    judges: AnswerChain
    screening: Screening
    reader: AnswerReader
    writer: AnswerWriter
    outbound: Outbound
    headers: Headers
    reservation: Reservation
    clock: Clock
    metrics: Metrics
    stream: bool
    begun: bool = False
    _cleared: list[AnswerEvent] = field(default_factory=list)
    _granted: int = 0
    _kept: int = 0
    _unread: int = 0  # bytes in the reader
    _most_unread: int = 0
    _told: tuple[tuple[Verdict, ...], Terms] | None = (
        None  # of the last step, where it had nothing but verdicts to tell
    )
    _at_flag: int | None = None  # the writer's count when the answer was flagged

    async def run(self, answer: UpstreamAnswer) -> None:
        """Relay the whole answer. Raises AnswerStopped, GatewayError."""
        chunks = answer.chunks()
        before = self.clock.monotonic()
        async for data in chunks:
            self.trace.waits.upstream += self.clock.monotonic() - before
            self.trace.upstream_bytes += len(data)
            events = self.reader.feed(data)
            self._buffered(len(data), events)
            await self._step(events)
            before = self.clock.monotonic()
        self.trace.waits.upstream += self.clock.monotonic() - before
        await self._step(self.reader.end())
        await self._finish()

    async def _step(self, events: Sequence[AnswerEvent]) -> None:
        if not events:
            return
        self._count(events)
        if self.force.terms is not self.terms:
            await self._tighten()
        pieces = self.screening.feed(events)
        if pieces:
            await self._judge(pieces)
        await self._release()

    def _count(self, events: Sequence[AnswerEvent]) -> None:
        for event in events:
            if isinstance(event, TextDelta):
                self._keep(len(event.text) * TEXT_FACTOR)
                if not self.trace.first_text:
                    self.trace.first_text = self.clock.monotonic()

    def _buffered(self, size: int, events: Sequence[AnswerEvent]) -> None:
        """What the reader keeps counts too: a unary body whole, of a stream the event that is not complete yet."""
        self._unread = self._unread + size if not (self.stream and events) else 0
        if self._unread > self._most_unread:
            self._keep(self._unread - self._most_unread)
            self._most_unread = self._unread

    def _keep(self, size: int) -> None:
        """What an answer makes us keep counts against the exchange's memory; in lots, since counting costs too. Raises Overloaded."""
        self._kept += size
        while self._kept > self._granted:
            self.reservation.grow(LOT)
            self._granted += LOT

    async def _tighten(self) -> None:
        """Stricter terms apply from this step on, to everything the answer has said so far."""
        self.terms = self.trace.terms = self.force.terms
        self.screening.tighten(self.terms.hold)
        self.judges, pieces = self.judges.reopen(self.terms)
        self.force.passed(Direction.OUTPUT)
        if pieces:
            await self._judge(pieces)

    async def _judge(self, pieces: tuple[Piece, ...]) -> None:
        before = self.clock.monotonic()
        ruling = await self.judges.step(pieces)
        self.trace.waits.controls += self.clock.monotonic() - before
        self._note(ruling)
        if ruling.verdict.outcome is not Outcome.ALLOW:
            self._at_flag = self.writer.released
            self.screening.cut(ruling.verdict)
            raise AnswerStopped(ruling.verdict)
        try:
            for group, judgement in ruling.judgements:
                self.screening.report(group, judgement)
        except Nonsense as nonsense:
            assert self.screening.verdict is not None
            self._at_flag = self.writer.released
            raise AnswerStopped(self.screening.verdict) from nonsense

    def _note(self, ruling: AnswerRuling) -> None:
        told = (ruling.verdicts, self.terms)
        if told != self._told or ruling.failures or ruling.substitutes or ruling.passed_open:
            self.trace.note(ruling.verdicts, Direction.OUTPUT)
            record_failures(self.trace, self.metrics, ruling, self.terms, Direction.OUTPUT)
            self._told = None if ruling.failures or ruling.substitutes or ruling.passed_open else told
        for control, seconds in ruling.seconds:
            self.metrics.observe("control_seconds", seconds, control, Direction.OUTPUT.value)

    async def _release(self) -> None:
        self.force.check()
        released = self.screening.release()
        if not released:
            return
        self.metrics.observe("holdback_tokens", self.screening.held / CHARACTERS_PER_TOKEN)
        for event in released:
            if isinstance(event, Finish) and self.trace.finish == "none":
                self.trace.finish = event.reason.value
        if not self.stream:
            self._cleared.extend(released)
            return
        if not self.begun and not any(isinstance(event, TextDelta | ToolCallStart | Finish) for event in released):
            self._cleared.extend(released)  # nothing to say yet: an error can still be told by its status
            return
        events = (*self._cleared, *released) if self._cleared else released
        self._cleared.clear()
        for at in range(0, len(events), RELEASED):
            if at:
                await asyncio.sleep(0)  # a long answer that was held whole is written in several turns of the loop
            data = b"".join(self.writer.encode(event) for event in events[at : at + RELEASED])
            await self.begin()
            if data:
                await self._send(data)

    async def begin(self) -> None:
        """Send the head, once."""
        if not self.begun:
            self.begun = True
            self.trace.status = 200
            await self.outbound.head(200, self.headers)
            self.trace.first_byte = self.clock.monotonic()

    async def _send(self, data: bytes) -> None:
        before = self.clock.monotonic()
        await self.outbound.send(data)
        self.trace.waits.client += self.clock.monotonic() - before

    async def _finish(self) -> None:
        if not self.screening.ended:
            raise SafeguardUnavailable("the answer was not cleared to its end")
        if self.stream:
            await self.begin()
        else:
            await self._whole(self.writer.whole(self._cleared))
        self.account()
        await self.outbound.end()

    async def _whole(self, body: bytes) -> None:
        """A unary answer, with its length."""
        self.headers = (*self.headers, ("content-length", str(len(body))))
        await self.begin()
        await self._send(body)

    def account(self) -> None:
        """What was scanned and what was released, each counted by its own room."""
        self.trace.scanned = self.screening.scanned
        self.trace.released = self.writer.released
        if self._at_flag is not None:
            self.metrics.count("released_after_flag_total", by=self.writer.released - self._at_flag)
            self._at_flag = self.writer.released

    async def close_blocked(self) -> None:
        """End the client's answer as the dialect ends a blocked one; nothing uncleared leaves."""
        if self.stream:
            await self.begin()
            await self.outbound.send(self.writer.blocked())
        else:
            await self._whole(self.writer.whole_blocked())
        self.account()
        await self.outbound.end()

    async def close_failed(self, error: GatewayError) -> None:
        """End a stream that has begun with an error and no proper end. A unary body has been handed over whole by then."""
        if self.stream:
            await self.outbound.send(self.writer.failed(error))
        self.account()
        await self.outbound.end()


def record_failures(
    trace: Trace, metrics: Metrics, ruling: Ruling | AnswerRuling, terms: Terms, direction: Direction
) -> None:
    """Count failures of controls, groups judged by a substitute, and groups that passed without a judge (once an exchange)."""
    for failure in ruling.failures:
        trace.failures.append(f"{failure.control}:{failure.reason.value}")
        metrics.count("control_failures_total", failure.control, failure.reason.value)
    for group in ruling.substitutes:
        trace.substitutes.add(group)
        metrics.set("substitute_active", 1, group)
    failing = {failure.group for failure in ruling.failures}.union(ruling.substitutes, ruling.passed_open)
    unasked = ruling.unasked if isinstance(ruling, Ruling) else ()
    for asked in terms.groups:
        if asked.direction is not direction or asked.name in unasked:
            continue
        if asked.name not in failing:
            # Only a gauge that was ever raised needs lowering: this runs with every step of every stream.
            if ("substitute_active", asked.name) in metrics.children:
                metrics.set("substitute_active", 0, asked.name)
        elif (
            asked.name in ruling.passed_open or terms.shadow.issuperset(asked.members)
        ) and asked.name not in trace.opened:
            trace.opened.add(asked.name)
            metrics.count("failed_open_total", asked.members[0])
