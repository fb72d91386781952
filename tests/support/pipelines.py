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
from gateway.controls.rules import RulesControl
from gateway.demo.answers import Said, anthropic_events, anthropic_unary, openai_events, openai_unary
from gateway.demo.scripted import CHUNKED, Recorded, Script, ScriptedUpstream, Send, Until, chunk, head, streamed, unary
from gateway.exchange import Caller
from gateway.ledger.base import Field, Kind
from gateway.limits import Limits
from gateway.metrics import PREFIX, Metrics, metrics
from gateway.parsing.parser import Parser
from gateway.pipeline.counted import Refusals
from gateway.pipeline.life import Pipeline
from gateway.pipeline.ports import BodyParser, Visitor
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
from support.clients import PATIENT, Client
from support.fake_classifier import FakeClassifier
from support.fake_clock import FakeClock
from support.memory_ledger import MemoryLedger

OPENAI: Dialect = OpenAIChat()
ANTHROPIC: Dialect = AnthropicMessages()
BOTH_DIALECTS = (OPENAI, ANTHROPIC)
MODEL = "demo-model"
CANARY_RULE = rule("rr-canary", literal=CANARY)
# Nothing healthy may miss its deadline on a machine that is loaded many times over; tests of what hangs ask for the short one.
DEADLINE_MS = 20_000
HANGING_MS = 150
# What must happen within a second is event-driven and takes milliseconds; the rest is for a machine that stalls.
PROMPT = 15.0
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
    deadline_ms: int = DEADLINE_MS,
) -> Snapshot:
    """A snapshot of the built-in profiles with deadlines of the tests' own; ``brake`` is the level of an open brake on the first model."""
    made = {}
    for level, profile in profiles(read_levels(builtin_dir() / "levels")).items():
        groups = tuple(replace(group, deadline_ms=deadline_ms) for group in profile.groups)
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
        await asyncio.wait_for(self.tasks[-1], PATIENT)

    async def ask(self, dialect: Dialect, body: bytes, **how: Any) -> Client:
        """A whole exchange."""
        client = Client(body, **how)
        self.start(dialect, client)
        await self.finish()
        return client

    async def reached(self, number: int = 1) -> Recorded:
        """Wait until the model server has so many requests; the newest."""
        async with asyncio.timeout(PATIENT):
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


async def prepared(snapshot: Snapshot, rules: RulesControl) -> None:
    """Compile the rules ahead, as a running gateway does: the first request does not wait for them."""
    for entry in snapshot.entries.values():
        for rule_set in entry.terms.rule_sets:
            await asyncio.to_thread(rules.prepare, rule_set)


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
    rules = RulesControl()
    catalogue: dict[str, Control] = {control.id: control for control in controls(classifier, rules)}
    catalogue |= {control.id: control for control in listed}
    holder = SnapshotHolder(snapshot or policy(asl))
    await prepared(holder.current, rules)
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
