"""A whole pipeline on a bench: real rooms, a scripted model server over a real socket, a ledger in memory, and a client that can leave.

``bench`` ends every test with the same claims: all memory is given back, every exchange has one outcome row, the counters say what
the rows say, and no text left after a flag.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from gateway.controls.base import Control
from gateway.controls.catalogue import controls
from gateway.controls.chain import Chain
from gateway.demo.answers import Said, anthropic_events, anthropic_unary, openai_events, openai_unary
from gateway.demo.scripted import CHUNKED, Recorded, Script, ScriptedUpstream, Send, Until, chunk, head, streamed, unary
from gateway.exchange import Caller
from gateway.ledger.base import Field, Kind
from gateway.limits import Limits
from gateway.metrics import PREFIX, Metrics, metrics
from gateway.parsing.parser import Parser
from gateway.pipeline.counted import Refusals
from gateway.pipeline.life import Pipeline
from gateway.pipeline.ports import BodyParser, ClientGone, Headers, Visitor
from gateway.pipeline.rooms import Rooms
from gateway.policy.holder import SnapshotHolder
from gateway.policy.levels import profiles
from gateway.policy.snapshot import Material, Snapshot, build
from gateway.settings.ladder import read_levels
from gateway.settings.load import builtin_dir
from gateway.settings.model import ModelSettings, UpstreamSettings
from gateway.state.base import Brake, Declared
from gateway.terms import Level, Rule
from gateway.upstream import Deadlines, Upstream
from gateway.wire.anthropic_messages import AnthropicMessages
from gateway.wire.base import Dialect, WireLimits
from gateway.wire.openai_chat import OpenAIChat
from support.canary import CANARY, rule
from support.fake_classifier import FakeClassifier
from support.fake_clock import FakeClock
from support.memory_ledger import MemoryLedger

OPENAI: Dialect = OpenAIChat()
ANTHROPIC: Dialect = AnthropicMessages()
BOTH_DIALECTS = (OPENAI, ANTHROPIC)
MODEL = "demo-model"
CANARY_RULE = rule("rr-canary", literal=CANARY)
DEADLINE_MS = 150
MIB = 1 << 20
SENTENCE = "The harbour lies still in the morning, and the boats come back with the tide. "


def policy(
    asl: int = 3,
    *,
    brake: int = 0,
    rules: Iterable[Rule] = (CANARY_RULE,),
    revision: int = 1,
    budget: int | None = None,
    models: tuple[str, ...] = (MODEL,),
) -> Snapshot:
    """A snapshot of the built-in profiles with short deadlines; ``brake`` is the level of an open brake on the first model."""
    made = {}
    for level, profile in profiles(read_levels(builtin_dir() / "levels")).items():
        groups = tuple(replace(group, deadline_ms=DEADLINE_MS) for group in profile.groups)
        made[level] = replace(profile, groups=groups, screen_budget=budget or profile.screen_budget)
    brakes = (Brake("b-1", models[0], Level.both(brake), "a test", "operator", 1),) if brake else ()
    settings = tuple(
        ModelSettings(
            name=name, aliases=(f"{name}-alias",), asl=asl, upstream=UpstreamSettings(url="http://127.0.0.1:9")
        )
        for name in models
    )
    declared = tuple(Declared(name, Level.both(asl), "operator", 1) for name in models)
    return build(made, Material(settings, declared, brakes, tuple(rules), revision))


def without_substitute(snapshot: Snapshot, name: str) -> Snapshot:
    """The same policy with one group reduced to its first member."""
    (entry,) = snapshot.entries.values()
    groups = frozenset(
        replace(group, members=group.members[:1]) if group.name == name else group for group in entry.terms.groups
    )
    return replace(snapshot, entries={entry.name: replace(entry, terms=replace(entry.terms, groups=groups))})


def body_of(dialect: Dialect, text: str = "How are the boats?", **more: Any) -> bytes:
    """A request of one user turn."""
    base: dict[str, Any] = {"model": MODEL, "messages": [{"role": "user", "content": text}]}
    if dialect is ANTHROPIC:
        base["max_tokens"] = 100
    return json.dumps(base | more).encode()


def events_of(dialect: Dialect, *said: Said) -> list[bytes]:
    """The events of a streamed answer."""
    return openai_events(*said) if dialect is OPENAI else anthropic_events(said[0])


def says(dialect: Dialect, *said: Said, stream: bool) -> Script:
    """A whole answer of the model server."""
    if stream:
        return streamed(events_of(dialect, *said))
    return unary(openai_unary(*said) if dialect is OPENAI else anthropic_unary(said[0]))


def held_stream(events: list[bytes], first: int, gate: asyncio.Event) -> Script:
    """A stream that stops after ``first`` events until the gate opens."""
    begin = [Send(head(content_type="text/event-stream", length=CHUNKED)), *(Send(chunk(e)) for e in events[:first])]
    return (*begin, Until(gate), *(Send(chunk(e)) for e in events[first:]), Send(chunk(b"")))


class Client:
    """A client's end of one exchange: both ports of the pipeline. ``leave`` hangs up; ``gate`` closed stops its reading."""

    def __init__(
        self, body: bytes, *, media_type: str = "application/json", coding: str = "", chunked: bool = False
    ) -> None:
        self.media_type, self.coding = media_type, coding
        self.declared: int | None = None if chunked else len(body)
        self.parts = [body[at : at + 4096] for at in range(0, len(body), 4096)]
        self.status = 0
        self.headers: dict[str, str] = {}
        self.data = b""
        self.ended = False
        self.gate = asyncio.Event()
        self.gate.set()
        self.uploading = asyncio.Event()  # cleared: the body stalls
        self.uploading.set()
        self._left = asyncio.Event()
        self._moved = asyncio.Event()

    async def read(self) -> bytes:
        await self.uploading.wait()
        if self._left.is_set():
            raise ClientGone
        return self.parts.pop(0) if self.parts else b""

    async def head(self, status: int, headers: Headers) -> None:
        assert not self.status, "the head was sent twice"
        self._present()
        self.status, self.headers = status, dict(headers)

    async def send(self, data: bytes) -> None:
        assert self.status
        assert not self.ended
        await self.gate.wait()
        self._present()
        self.data += data
        self._moved.set()

    async def end(self) -> None:
        assert self.status
        assert not self.ended
        self._present()
        self.ended = True

    async def gone(self) -> None:
        await self._left.wait()

    async def gone_at_head(self, status: int, headers: Headers) -> None:
        """In place of ``head``: hangs up at that moment."""
        self.leave()
        raise ClientGone

    def leave(self) -> None:
        """Hang up."""
        self._left.set()
        self.uploading.set()
        self.gate.set()

    async def until(self, text: str) -> None:
        """Wait until the client has this text."""
        async with asyncio.timeout(5):
            while text.encode() not in self.data:
                self._moved.clear()
                await self._moved.wait()

    @property
    def body(self) -> Any:
        """The whole body as JSON."""
        return json.loads(self.data)

    @property
    def answer(self) -> Answer:
        """What the client made of the bytes."""
        return Answer.read(self.data, stream=self.headers["content-type"].startswith("text/event-stream"))

    def _present(self) -> None:
        if self._left.is_set():
            raise ClientGone


@dataclass(slots=True)
class Answer:
    """An answer as a client reads it: text by channel, finish reasons, and how a stream ended."""

    texts: dict[str, str] = field(default_factory=dict)
    finishes: list[str] = field(default_factory=list)
    error: dict[str, Any] | None = None
    done: bool = False  # the proper end of a stream, or a whole body

    @classmethod
    def read(cls, data: bytes, *, stream: bool) -> Answer:
        """From a body, in either dialect."""
        made = cls()
        if not stream:
            made._take(json.loads(data))
            made.done = made.error is None
            return made
        for event in data.decode().split("\n\n"):
            for line in event.splitlines():
                if line == "data: [DONE]":
                    made.done = True
                elif line.startswith("data: "):
                    made._take(json.loads(line[6:]))
        return made

    def _take(self, value: dict[str, Any]) -> None:
        if value.get("error"):
            self.error = value["error"]
        for choice in value.get("choices", ()):
            self._choice(choice)
        for block in value.get("content", ()):
            arguments = json.dumps(block["input"]) if "input" in block else ""
            self._add("content", block.get("text", "") + block.get("thinking", "") + arguments)
        delta = value.get("delta", {})
        self._add("content", delta.get("text", "") + delta.get("thinking", "") + delta.get("partial_json", ""))
        if reason := (delta.get("stop_reason") or value.get("stop_reason")):
            self.finishes.append(reason)
        self.done = self.done or value.get("type") == "message_stop"

    def _choice(self, choice: dict[str, Any]) -> None:
        said = choice.get("delta") or choice.get("message") or {}
        for name, text in said.items():
            if isinstance(text, str) and name != "role":
                self._add(f"{choice['index']}.{name}", text)
        for call in said.get("tool_calls") or ():
            self._add(f"{choice['index']}.call", call["function"].get("arguments") or "")
        if choice.get("finish_reason"):
            self.finishes.append(choice["finish_reason"])

    def _add(self, channel: str, text: str) -> None:
        if text:
            self.texts[channel] = self.texts.get(channel, "") + text

    @property
    def text(self) -> str:
        """All text, channel by channel."""
        return "\n".join(self.texts.values())


@dataclass(slots=True)
class Bench:
    """One gateway without its listeners."""

    upstream: ScriptedUpstream
    classifier: FakeClassifier
    ledger: MemoryLedger
    holder: SnapshotHolder
    limits: Limits
    metrics: Metrics
    clock: FakeClock
    pipeline: Pipeline
    intents_seen: list[int] = field(default_factory=list)  # intent rows when each request reached the model server
    clients: list[Client] = field(default_factory=list)
    leaks: int = 0  # bytes after a flag that a test provoked
    tasks: list[asyncio.Task[None]] = field(default_factory=list)

    def script(self, answer: Script | Callable[[Recorded], Script]) -> None:
        """What the model server answers."""

        def handler(request: Recorded) -> Script:
            self.intents_seen.append(len(self.ledger.of(Kind.INTENT)))
            return answer(request) if callable(answer) else answer

        self.upstream.script(handler)

    def start(self, dialect: Dialect, client: Client) -> asyncio.Task[None]:
        """Begin an exchange."""
        self.clients.append(client)
        task = asyncio.ensure_future(self.pipeline.run(dialect, Visitor(Caller(), client, client)))
        self.tasks.append(task)
        return task

    async def finish(self) -> None:
        """Wait for the newest exchange."""
        await asyncio.wait_for(self.tasks[-1], 5)

    async def ask(self, dialect: Dialect, body: bytes, **how: Any) -> Client:
        """A whole exchange."""
        client = Client(body, **how)
        self.start(dialect, client)
        await self.finish()
        return client

    async def reached(self, number: int = 1) -> Recorded:
        """Wait until the model server has so many requests; the newest."""
        async with asyncio.timeout(5):
            while len(self.upstream.requests) < number:
                await asyncio.sleep(0.002)
        return self.upstream.requests[-1]

    @property
    def outcome(self) -> dict[str, Field]:
        """The newest outcome row."""
        return self.ledger.of(Kind.OUTCOME)[-1]

    def total(self, name: str, **labels: str) -> float:
        """The sum of a metric over all label sets that have these labels."""
        return sum(
            sample.value
            for family in self.metrics.registry.collect()
            for sample in family.samples
            if sample.name == PREFIX + name and labels.items() <= sample.labels.items()
        )

    def settle(self, *, counted: bool = True) -> None:
        """What must be true whenever nothing is in flight."""
        assert (self.limits.reserved, self.limits.exchanges, self.limits.callers) == (0, 0, {})
        assert self.pipeline.in_flight == 0
        assert self.pipeline.idle.is_set()
        assert self.total("released_after_flag_total") == self.leaks
        for client in self.clients:
            if client.status:
                assert client.headers["x-asl-decision-id"].startswith("d-")
                assert client.headers["x-request-id"] == client.headers["request-id"]
        if not counted:
            return
        rows = self.ledger.of(Kind.OUTCOME)
        assert len({row["decision"] for row in rows}) == len(rows) == len(self.tasks)
        assert {row["decision"] for row in self.ledger.of(Kind.INTENT)} <= {row["decision"] for row in rows}
        assert all(row["released"] <= row["scanned"] for row in rows)  # type: ignore[operator]  # both are integers
        for outcome, number in Counter(str(row["outcome"]) for row in rows).items():
            assert self.total("requests_total", outcome=outcome) == number
        assert self.total("requests_total") == len(rows)


@asynccontextmanager
async def bench(
    asl: int = 3,
    *,
    snapshot: Snapshot | None = None,
    listed: Iterable[Control] = (),
    counted: bool = True,
    limits: Limits | None = None,
    deadlines: Deadlines | None = None,
    ledger: MemoryLedger | None = None,
    parser: BodyParser | None = None,
    own_rows: int = 1_000_000,
) -> AsyncIterator[Bench]:
    """A bench at a level; ``listed`` replaces controls of the catalogue by others of the same id."""
    classifier, clock, counts = FakeClassifier(), FakeClock(), metrics()
    await classifier.start()
    catalogue: dict[str, Control] = {control.id: control for control in controls(classifier)}
    catalogue |= {control.id: control for control in listed}
    holder = SnapshotHolder(snapshot or policy(asl))
    limits = limits or Limits(64 * MIB, MIB, 100)
    ledger = ledger or MemoryLedger()
    elsewhere = Parser(clock, lambda _: None)
    async with ScriptedUpstream() as upstream:
        way = Upstream(upstream.url, deadlines=deadlines or Deadlines(2, 2, 2, 10))
        rooms = Rooms(
            holder,
            Chain(catalogue, clock),
            ledger,
            {MODEL: way},
            limits,
            WireLimits(),
            counts,
            clock,
            b"k" * 32,
            parser or elsewhere,
            Refusals(ledger, counts, clock, own_rows),
        )
        made = Bench(upstream, classifier, ledger, holder, limits, counts, clock, Pipeline(rooms))
        made.script(says(OPENAI, Said(("Good day.",)), stream=False))
        try:
            yield made
            made.settle(counted=counted)
        finally:
            for task in made.tasks:
                task.cancel()
            await asyncio.gather(*made.tasks, return_exceptions=True)
            await way.close()
            await elsewhere.close()
