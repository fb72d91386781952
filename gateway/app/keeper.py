"""Keeps the snapshot in step with settings and store: builds it off the loop, prepares its rules, swaps it in, and records it.

Other replicas of the state directory are noticed by the store's revision, several times a second. What cannot be read keeps the
policy that is in force: no failure lowers a level (design rule 4).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import TypeVar

import structlog

from gateway.clock import Clock
from gateway.ledger.base import Field, Kind, LedgerError, Sink
from gateway.metrics import Metrics
from gateway.policy import changes
from gateway.policy.holder import SnapshotHolder
from gateway.policy.levels import Profile, profiles
from gateway.policy.snapshot import Material, Snapshot, build
from gateway.settings.load import levels_of, rules_of
from gateway.settings.model import Settings
from gateway.state.base import Store
from gateway.terms import Level, Rule, RuleSet

POLL_SECONDS = 0.2

log = structlog.get_logger("asl_gateway")
T = TypeVar("T")
Prepare = Callable[[RuleSet], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Files:
    """What the policy takes from files: profiles and rules."""

    settings: Settings
    profiles: Mapping[int, Profile]
    rules: tuple[Rule, ...]


def read_files(settings: Settings) -> Files:
    """Raises ConfigInvalid, LevelInvalid."""
    return Files(settings, profiles(levels_of(settings)), rules_of(settings))


def retention_of(files: Files) -> dict[int, int]:
    """Days that ledger rows of each level are kept."""
    return {asl: profile.retention for asl, profile in files.profiles.items()}


def declare_all(store: Store, settings: Settings, now: int) -> None:
    """Declare every model's level; the stricter of stored and given is in force. Raises ChangeRefused."""
    for model in settings.models:
        changes.declare(store, model.name, Level.both(model.asl), changes.Actor("operator", "declared at start", now))


def snapshot_of(files: Files, store: Store) -> Snapshot:
    """The snapshot that files and store make. Blocks. Raises StoreError, ConfigInvalid."""
    revision = store.revision()  # read first: what comes later is seen by the next poll
    material = Material(
        models=files.settings.models,
        declared=store.declared(),
        brakes=store.open_brakes(),
        rules=(*files.rules, *changes.added_rules(store)),
        revision=revision,
        classifiers=files.settings.classifiers,
    )
    return build(files.profiles, material)


class Keeper:
    """Owns the policy's way from store to holder. One at a time: changes and polls take turns."""

    def __init__(
        self,
        files: Files,
        store: Store,
        holder: SnapshotHolder,
        *,
        ledger: Sink,
        metrics: Metrics,
        clock: Clock,
        prepare: Prepare,
    ) -> None:
        self.files = files
        self.store = store
        self.holder = holder
        self._ledger, self._metrics, self._clock, self._prepare = ledger, metrics, clock, prepare
        self._turn = asyncio.Lock()
        self._behind_since = 0.0

    async def change(
        self,
        act: Callable[[Store], T],
        row: Callable[[T], dict[str, Field]],
        *,
        loosening: dict[str, Field] | None = None,
    ) -> T:
        """Do one change, have it on record, and put it in force here. Raises what ``act`` raises, and LedgerError.

        ``loosening``: the row that must be on disk before anything is loosened; with a ledger that cannot write, nothing is (rule 5).
        What tightens is done first: a raise never waits for a disk (rule 4).
        """
        async with self._turn:
            if loosening is not None:
                await self._ledger.append(Kind.CHANGE, loosening).durable()
            result = await asyncio.to_thread(act, self.store)
            receipt = self._ledger.append(Kind.CHANGE, row(result))
            await self._apply()  # in force at once; the record follows within the same answer
            await receipt.durable()
            return result

    async def reload(self, files: Files) -> None:
        """Put new files in force. Raises ChangeRefused, StoreError, RuleError; the old ones stay then."""
        async with self._turn:
            now = int(self._clock.wall())
            await asyncio.to_thread(declare_all, self.store, files.settings, now)
            before, self.files = self.files, files
            try:
                await self._apply()
            except BaseException:
                self.files = before
                raise

    async def poll(self) -> None:
        """Follow the store for ever."""
        while True:
            await asyncio.sleep(POLL_SECONDS)
            try:
                revision = await asyncio.to_thread(self.store.revision)
                if revision > self.holder.current.revision:
                    async with self._turn:
                        await self._apply()
                self._behind_since = 0.0
            except Exception as error:  # noqa: BLE001  # whatever is wrong with the store, the policy in force stays
                self._behind_since = self._behind_since or self._clock.monotonic()
                log.error("policy_not_followed", error=type(error).__name__, detail=str(error))
            behind = self._clock.monotonic() - self._behind_since if self._behind_since else 0.0
            self._metrics.set("replica_policy_lag_seconds", behind)

    async def begin(self) -> None:
        """Publish the first snapshot, which the holder has already."""
        for terms in {entry.terms for entry in self.holder.current.entries.values()}:
            for rule_set in terms.rule_sets:
                await self._prepare(rule_set)
        self._publish(self.holder.current)

    async def _apply(self) -> None:
        snapshot = await asyncio.to_thread(snapshot_of, self.files, self.store)
        for entry in snapshot.entries.values():
            for rule_set in entry.terms.rule_sets:
                await self._prepare(rule_set)
        if self.holder.swap(snapshot):
            self._publish(snapshot)

    def _publish(self, snapshot: Snapshot) -> None:
        levels = {name: entry.terms.level for name, entry in snapshot.entries.items()}
        self._metrics.replace("policy_info", [((snapshot.digest,), 1)])
        self._metrics.replace("brakes", [((name,), len(entry.brakes)) for name, entry in snapshot.entries.items()])
        pairs = [
            (name, standard, str(getattr(level, standard)))
            for name, level in levels.items()
            for standard in ("deployment", "security")
        ]
        self._metrics.replace("active_level", [(pair, 1) for pair in pairs])
        row: dict[str, Field] = {
            "policy": snapshot.digest,
            "revision": snapshot.revision,
            "models": ",".join(f"{name}={level}" for name, level in sorted(levels.items())),
        }
        log.info("policy_in_force", **row)
        try:
            self._ledger.append(Kind.POLICY, row)
        except LedgerError as error:
            log.error("policy_not_recorded", detail=str(error))
