"""One running gateway: rooms wired together, two listeners, start, drain and end."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import secrets
import socket
from collections.abc import Mapping
from dataclasses import dataclass, replace

import structlog

from classifiers.base import Classifier, ClassifierError
from classifiers.catalogue import create
from gateway.app.keeper import Files, Keeper, declare_all, read_files, snapshot_of
from gateway.app.readiness import Readiness
from gateway.app.serving import ListenError, Server, listen, server, url_of
from gateway.app.state_dir import DIGEST_KEY, TOKEN, prepare, register, secret, unregister
from gateway.app.version import build_info
from gateway.clock import Clock, SystemClock
from gateway.console.api import Desk, admin_app
from gateway.console.screen import Screener
from gateway.controls.catalogue import controls
from gateway.controls.chain import Chain
from gateway.controls.rules import RulesControl
from gateway.dataplane import DataPlane, every
from gateway.edge import EdgeSettings, edge_protocol
from gateway.edge_head import hosts_of
from gateway.ledger.base import Field, Kind, LedgerError
from gateway.ledger.files import FileSink, LedgerTampered, open_ledger
from gateway.ledger.segments import chains, claim, segments
from gateway.limits import Limits
from gateway.metrics import metrics
from gateway.parsing.parser import Parser
from gateway.pipeline.counted import Refusals
from gateway.pipeline.life import Pipeline
from gateway.pipeline.rooms import Rooms
from gateway.policy.holder import SnapshotHolder
from gateway.settings.faults import ConfigInvalid, Fault
from gateway.settings.load import secret_of
from gateway.settings.model import ModelSettings, Settings
from gateway.state.base import Head
from gateway.state.sqlite import SqliteStore
from gateway.terms import RuleSet
from gateway.upstream import Deadlines, Upstream
from gateway.wire.base import WireLimits
from gateway.wire.dialects import dialects

CLASSIFIER = "cbrn-minilm"
GAUGE_SECONDS = 1.0
LAST_WORDS_SECONDS = 1.0  # for the last events of exchanges that are cut

log = structlog.get_logger("asl_gateway")


@dataclass(frozen=True, slots=True)
class Addresses:
    """Where a running gateway answers."""

    data: str
    admin: str


class Gateway:
    """Made by ``start``; ends with ``stop``. Everything that it opens, it closes."""

    def __init__(self, settings: Settings, environment: Mapping[str, str], clock: Clock | None = None) -> None:
        """Nothing is opened yet."""
        self.settings = settings
        self._environment = environment
        self._clock: Clock = clock or SystemClock()
        self._state = settings.state
        self._tasks: list[asyncio.Task[None]] = []
        self._open = contextlib.AsyncExitStack()  # everything that was opened, to be closed in reverse
        self._leaving = False
        self._servers: list[Server] = []

    async def start(self) -> Addresses:
        """Open everything and listen.

        Raises ConfigInvalid, LevelInvalid, ChangeRefused, RuleError, StoreError, LedgerError, ListenError, StateDirError.
        """
        try:
            return await self._start()
        except BaseException:
            await self.close()
            raise

    async def _start(self) -> Addresses:
        files = read_files(self.settings)
        prepare(self._state)
        token, digest_key = secret(self._state / TOKEN), secret(self._state / DIGEST_KEY)
        if not (self._state / "gateway.db").exists() and any(
            segments(chain) for chain in chains(self._state / "ledger")
        ):
            raise LedgerTampered(
                f"{self._state / 'gateway.db'} is missing, but the ledger has rows: its brakes and records are lost"
            )
        self.store = SqliteStore(self._state / "gateway.db")
        self._open.callback(self.store.close)
        declare_all(self.store, self.settings, int(self._clock.wall()))
        self.holder = SnapshotHolder(snapshot_of(files, self.store))
        self.ledger = self._open_ledger()
        self.metrics = metrics()
        self.refusals = Refusals(self.ledger, self.metrics, self._clock)
        self._open.push_async_callback(self._end_ledger)
        self._build(files, bytes.fromhex(digest_key), token)
        info = build_info()
        self.metrics.set("build_info", 1, str(info["version"]))
        start: dict[str, Field] = {
            "version": str(info["version"]),
            "commit": str(info["commit"]),
            "policy": self.holder.current.digest,
            "pid": os.getpid(),
        }
        await self.ledger.append(Kind.START, start).durable()
        await self.keeper.begin()
        addresses = self._listen()  # the servers' tasks come first, see close
        self._tasks += [
            asyncio.create_task(self.keeper.poll()),
            asyncio.create_task(every(GAUGE_SECONDS, self._gauges)),
        ]
        if self.classifier is not None:
            self._open.push_async_callback(self.classifier.close)
            self._tasks.append(asyncio.create_task(self._warm(self.classifier)))
        self._open.callback(unregister, self._state, os.getpid())
        register(
            self._state,
            {"replica": self.ledger.replica, "pid": os.getpid(), "data": addresses.data, "admin": addresses.admin},
        )
        return addresses

    def _open_ledger(self) -> FileSink:
        slot = claim(self._state / "ledger")
        head = self.store.head(slot.replica)

        def set_head(replica: str, sequence: int, digest: str) -> None:
            self.store.set_head(Head(replica, sequence, digest))

        try:
            return open_ledger(
                slot, secrets.token_hex(4), (head.sequence, head.digest) if head else None, self._clock, set_head
            )
        except LedgerError:
            slot.release()
            raise

    def _build(self, files: Files, digest_key: bytes, token: str) -> None:
        """Wire the rooms together."""
        settings, clock = self.settings, self._clock
        self.classifier = self._classifier()
        self._warmed = not settings.classifiers
        rules = RulesControl()
        chain = Chain({control.id: control for control in controls(self.classifier, rules)}, clock)
        self.limits = Limits(settings.limits.in_flight, settings.limits.body, settings.limits.streams)
        self.upstreams = {model.name: self._upstream(model) for model in settings.models}
        for upstream in self.upstreams.values():
            self._open.push_async_callback(upstream.close)
        wire = replace(WireLimits(), answer_bytes=settings.limits.answer)
        parser = Parser(clock, lambda reason: self.metrics.count("parser_failures_total", reason))
        self._open.push_async_callback(parser.close)
        rooms = Rooms(
            self.holder,
            chain,
            self.ledger,
            self.upstreams,
            self.limits,
            wire,
            self.metrics,
            clock,
            digest_key,
            parser,
            self.refusals,
        )
        self.pipeline = Pipeline(rooms)

        async def compile_rules(rule_set: RuleSet) -> None:
            await asyncio.to_thread(rules.prepare, rule_set)

        self.keeper = Keeper(
            files, self.store, self.holder, ledger=self.ledger, metrics=self.metrics, clock=clock, prepare=compile_rules
        )
        self.readiness = Readiness(
            {
                "draining": lambda: self.pipeline.draining or self._leaving,
                "ledger_not_writable": lambda: not self.ledger.writable,
                "classifier_not_ready": lambda: not self._warmed,
            }
        )
        screener = Screener(self.holder, chain, self.ledger, clock, digest_key)
        self._desk = Desk(self.keeper, self.readiness, self.metrics, clock, screener, self._state / "ledger", token)

    def _classifier(self) -> Classifier | None:
        """The embedded classifier. Where its files are not the pinned ones there is none: substitutes judge, and readiness says so."""
        if not self.settings.classifiers:
            return None
        try:
            return create(CLASSIFIER)
        except ClassifierError as error:
            log.error("classifier_refused", error=type(error).__name__, detail=str(error))
            return None

    def _upstream(self, model: ModelSettings) -> Upstream:
        """The way to one model's server. Raises ConfigInvalid."""
        found, limits = model.upstream, self.settings.deadlines
        key = secret_of(found.key.env, found.key.file, self._environment) if found.key else None
        deadlines = Deadlines(limits.connect, limits.first_byte, limits.idle, limits.total)
        try:
            return Upstream(found.url, ca=found.ca, socket=found.socket, key=key, deadlines=deadlines)
        except ValueError as error:
            raise ConfigInvalid([Fault("upstream", 0, 0, f"models.{model.name}.upstream", str(error))]) from error

    def _listen(self) -> Addresses:
        """Open both listeners."""
        limits = self.settings.deadlines
        data = listen(self.settings.listen.address)
        try:
            admin = listen(self.settings.admin.address)
        except ListenError:
            data.close()
            raise
        plane = DataPlane(self.pipeline, dialects(), self.holder, self.refusals, int(self._clock.wall()))
        waiting = self.settings.limits.waiting
        edge = EdgeSettings(limits.head, limits.body, limits.write, hosts_of(self.settings.hosts), waiting)
        loopback = EdgeSettings(limits.head, limits.body, limits.write, _admin_hosts(admin), waiting)
        listeners = (
            (data, server(plane, edge_protocol(edge, self.refusals.count), limits.keep_alive, limits.drain)),
            (admin, server(admin_app(self._desk), edge_protocol(loopback, lambda _: None), limits.keep_alive, 1)),
        )
        for listener, running in listeners:
            self._servers.append(running)
            self._tasks.append(asyncio.create_task(running.serve(sockets=[listener])))
        return Addresses(url_of(data), url_of(admin))

    async def _warm(self, classifier: Classifier) -> None:
        """Load the classifier. Until it is warm, and for ever where it cannot be trusted, its substitutes judge and readiness says so."""
        try:
            await classifier.start()
        except ClassifierError as error:
            log.error("classifier_not_ready", error=type(error).__name__, detail=str(error))
            return
        self._warmed = True
        gc.freeze()  # what the classifier loaded stays: the collector would walk it on the loop, for 8 ms
        log.info("classifier_ready", classifier=classifier.card.id, version=classifier.card.version)

    def _gauges(self) -> None:
        self.metrics.set("ledger_queue_depth", self.ledger.depth)
        self.metrics.set("in_flight", self.limits.exchanges)
        self.metrics.set("reserved_bytes", self.limits.reserved)
        self.refusals.flush(but=int(self._clock.wall()))

    async def reload(self, settings: Settings) -> None:
        """Put new models, levels and rules in force; listeners, state and limits need a restart.

        Raises what ``read_files``, ``declare_all`` and upstream settings raise; the old configuration stays in force then.
        """
        files = await asyncio.to_thread(read_files, settings)
        fresh = {
            model.name: self._upstream(model)
            for model in settings.models
            if model not in self.keeper.files.settings.models or model.name not in self.upstreams
        }
        await self.keeper.reload(files)
        for upstream in fresh.values():
            self._open.push_async_callback(upstream.close)
        self.upstreams.update(fresh)
        log.info("reloaded", policy=self.holder.current.digest)

    async def stop(self) -> None:
        """Drain and end: not ready, a short grace with the listener open, then no new exchanges, then what is left is cut."""
        limits = self.settings.deadlines
        self._leaving = True
        log.info("draining", in_flight=self.pipeline.in_flight)
        await asyncio.sleep(limits.grace)
        self.pipeline.draining = True
        self._servers[0].should_exit = True
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(limits.drain):
                await self.pipeline.idle.wait()
        cut = self.pipeline.interrupt()
        try:
            async with asyncio.timeout(LAST_WORDS_SECONDS):
                await self.pipeline.idle.wait()
        except TimeoutError:  # whoever does not read does not hear that it is over, and must not keep us up
            self._servers[0].abort()
        await self.pipeline.idle.wait()
        log.info("drained", cut=cut)
        await self.close()

    async def close(self) -> None:
        """Close everything that was opened, in reverse; safe after a start that failed half-way."""
        for running in self._servers:
            running.should_exit = True
        if serving := self._tasks[: len(self._servers)]:
            await asyncio.wait(serving, timeout=5)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._open.aclose()

    async def _end_ledger(self) -> None:
        self.refusals.flush()
        with contextlib.suppress(LedgerError):
            await self.ledger.append(Kind.STOP, {}).durable()
        await self.ledger.close()


def _admin_hosts(listener: socket.socket) -> frozenset[bytes]:
    """The admin plane answers to its own names only, so that a page in a browser cannot reach it under another."""
    host, port = listener.getsockname()[:2]
    if host not in {"127.0.0.1", "::1"}:
        return frozenset()
    return hosts_of([f"{name}:{port}" for name in ("127.0.0.1", "localhost", "[::1]")])
