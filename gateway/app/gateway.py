"""One running gateway: rooms wired together, listeners, start, drain and end."""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
from collections.abc import Mapping
from dataclasses import replace

import structlog

from classifiers.catalogue import create, guarding
from gateway.app.classifying import Classifying
from gateway.app.guarding import Guarding
from gateway.app.heads import HeadMover
from gateway.app.keeper import Files, Keeper, declare_all, read_files, retention_of, snapshot_of
from gateway.app.listeners import Addresses, Applications, Listeners
from gateway.app.readiness import Readiness
from gateway.app.serving import Server
from gateway.app.state_dir import DIGEST_KEY, METRICS_TOKEN, TOKEN, prepare, register, secret, unregister
from gateway.app.upkeep import Place, Upkeep
from gateway.app.version import build_info
from gateway.clock import Clock, SystemClock
from gateway.console.api import Desk, admin_app
from gateway.console.probes import Probes
from gateway.console.screen import Screener
from gateway.controls.catalogue import controls
from gateway.controls.chain import Chain
from gateway.controls.rules import RulesControl
from gateway.dataplane import DataPlane, every
from gateway.ledger import retention
from gateway.ledger.base import Field, Kind, LedgerError
from gateway.ledger.files import FileSink, LedgerTampered, open_ledger
from gateway.ledger.segments import chains, claim, segments
from gateway.ledger.summaries import Summarising
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
from gateway.state.sqlite import SqliteStore
from gateway.terms import RuleSet
from gateway.upstream import Deadlines, Upstream
from gateway.wire.base import WireLimits
from gateway.wire.dialects import dialects

GAUGE_SECONDS = 1.0
LAST_WORDS_SECONDS = 1.0  # for the last events of exchanges that are cut

log = structlog.get_logger("asl_gateway")


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
        self.metrics = metrics()
        self.listeners = Listeners(self.settings, self.metrics)
        self.listeners.identify()
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
        self.records = Summarising(self.ledger, self._clock)
        self.refusals = Refusals(self.ledger, self.metrics, self._clock)
        self._open.push_async_callback(self._end_ledger)
        self.upkeep = self._keep_up()
        self._build(files, bytes.fromhex(digest_key), token)
        info = build_info()
        self.metrics.set("build_info", 1, str(info["version"]))
        start: dict[str, Field] = {
            "version": str(info["version"]),
            "commit": str(info["commit"]),
            "policy": self.holder.current.digest,
            "pid": os.getpid(),
            "retention": retention.written(retention_of(files)),
        }
        await self.ledger.append(Kind.START, start).durable()
        await self.keeper.begin()
        self._addresses = addresses = self._listen()  # the servers' tasks come first, see close
        self._tasks += [
            asyncio.create_task(self.keeper.poll()),
            asyncio.create_task(every(GAUGE_SECONDS, self._gauges)),
            *(asyncio.create_task(rotation.watch()) for rotation in self.listeners.rotations),
            asyncio.create_task(self.upkeep.watch()),
            asyncio.create_task(self.upkeep.tend()),
        ]
        self._open.push_async_callback(self.classifying.close)
        self._open.push_async_callback(self.guarding.close)
        self._tasks.append(asyncio.create_task(self.classifying.warm()))
        self._tasks.append(asyncio.create_task(self.guarding.warm()))
        self._open.callback(unregister, self._state, os.getpid())
        self._register()
        if (admin := self.listeners.admin_rotation) is not None:
            admin.changed = self._register_again
        return addresses

    def _register(self) -> None:
        """How the command line finds this replica, and by which certificate it knows its admin plane."""
        found = self._addresses
        entry = {"replica": self.ledger.replica, "pid": os.getpid(), "data": found.data, "admin": found.admin}
        if (admin := self.listeners.admin_rotation) is not None:
            entry["certificate"] = admin.identity.certificate
        register(self._state, entry)

    async def _register_again(self) -> None:
        await asyncio.to_thread(self._register)

    def _open_ledger(self) -> FileSink:
        slot = claim(self._state / "ledger")
        head = self.store.head(slot.replica)
        mover = HeadMover(self.store)
        self._open.push_async_callback(asyncio.to_thread, mover.close)
        try:
            return open_ledger(
                slot,
                secrets.token_hex(4),
                (head.sequence, head.digest) if head else None,
                self._clock,
                mover.move,
                segment_seconds=self.settings.ledger.segment_age,
            )
        except LedgerError:
            slot.release()
            raise

    def _keep_up(self) -> Upkeep:
        place = Place(
            self._state / "ledger",
            self.ledger.replica,
            self.store.head,
            lambda: self.ledger.sequence,
            lambda: retention_of(self.keeper.files),
        )
        upkeep = Upkeep(place, self.records, self.settings.ledger, self.metrics, self._clock)
        self._open.push_async_callback(upkeep.close)
        return upkeep

    def _build(self, files: Files, digest_key: bytes, token: str) -> None:
        """Wire the rooms together."""
        settings, clock = self.settings, self._clock
        self.classifying = Classifying(settings, self.metrics, create)
        rules = RulesControl()
        self.guarding = Guarding(settings, self._environment, guarding)
        listed = controls(self.classifying.classifier, rules, self.guarding.controls)
        chain = Chain({control.id: control for control in listed}, clock)
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
            self.records,
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
                "classifier_not_ready": lambda: not self.classifying.ready,
                "ledger_full": lambda: not self.records.accepting,
                "ledger_broken": lambda: self.upkeep.broken,
            }
        )
        screener = Screener(self.holder, chain, self.ledger, clock, digest_key)
        self._desk = Desk(
            self.keeper,
            self.readiness,
            self.metrics,
            clock,
            screener,
            self._state / "ledger",
            token,
            secret(self._state / METRICS_TOKEN),
        )

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
        """Open all listeners and serve on them."""
        plane = DataPlane(self.pipeline, dialects(), self.holder, self.refusals, int(self._clock.wall()))
        desk = self._desk
        addresses = self.listeners.open(
            Applications(
                data=plane,
                admin=lambda loopback: admin_app(replace(desk, open_metrics=loopback)),
                probes=Probes(self.readiness),
            ),
            self.refusals.count,
        )
        for listener, running in self.listeners.servers:
            self._servers.append(running)
            self._tasks.append(asyncio.create_task(running.serve(sockets=[listener])))
        return addresses

    def _gauges(self) -> None:
        self.metrics.set("ledger_queue_depth", self.ledger.depth)
        self.metrics.set("in_flight", self.limits.exchanges)
        self.metrics.set("reserved_bytes", self.limits.reserved)
        self.classifying.report()
        self.guarding.report()
        self.refusals.flush(but=int(self._clock.wall()))

    async def reload(self, settings: Settings) -> None:
        """Put new models, levels, rules and certificates in force; addresses, state and limits need a restart.

        Raises what ``read_files``, ``declare_all``, upstream and TLS settings raise; the old configuration stays in force then.
        """
        files = await asyncio.to_thread(read_files, settings)
        await self.listeners.reload(settings)
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
        self.records.flush()
        with contextlib.suppress(LedgerError):
            await self.ledger.append(Kind.STOP, {}).durable()
        await self.ledger.close()
