"""The keeper: a change is on record and in force, other replicas are followed, and no failure lowers a level."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator

import pytest
from support.fake_clock import FakeClock
from support.fake_store import FakeStore
from support.memory_ledger import MemoryLedger
from support.policies import brake, built_in, model

from gateway.app import keeper as module
from gateway.app.keeper import Files, Keeper, declare_all, read_files, snapshot_of
from gateway.controls.matching import RuleError
from gateway.exchange import Direction
from gateway.ledger.base import Field, Kind, LedgerError
from gateway.metrics import metrics
from gateway.policy import changes
from gateway.policy.changes import Actor, ChangeRefused, raise_level
from gateway.policy.holder import SnapshotHolder
from gateway.settings.model import Settings
from gateway.state.base import Store
from gateway.terms import Level, Rule, RuleSet

ACTOR = Actor("tester", "r", 1)
RULE = Rule("rr-1", "cbrn", frozenset(Direction), "amber kestrel protocol", None, 0, "r")


class Setup:
    """A keeper with everything in memory."""

    def __init__(self) -> None:
        self.store, self.ledger, self.metrics, self.clock = FakeStore(), MemoryLedger(), metrics(), FakeClock()
        self.files = Files(Settings(models=(model(),)), built_in(), ())
        declare_all(self.store, self.files.settings, 1)
        self.holder = SnapshotHolder(snapshot_of(self.files, self.store))
        self.prepared: list[RuleSet] = []
        self.bad = False
        self.keeper = Keeper(
            self.files,
            self.store,
            self.holder,
            ledger=self.ledger,
            metrics=self.metrics,
            clock=self.clock,
            prepare=self.prepare,
        )

    async def prepare(self, rules: RuleSet) -> None:
        """Compiles nothing."""
        if self.bad:
            raise RuleError("rr-1", "cannot be compiled")
        self.prepared.append(rules)

    @property
    def level(self) -> Level:
        """The level in force."""
        return self.holder.current.entries["demo-model"].terms.level

    async def rise(self, asl: int = 4) -> None:
        """Raise through the keeper."""
        await self.keeper.change(
            lambda store: raise_level(store, "demo-model", Level.both(asl), ACTOR),
            lambda made: {"act": "raise", "id": made.id},
        )


@pytest.fixture
def setup() -> Setup:
    """A keeper at ASL-3."""
    return Setup()


@pytest.fixture
async def polling(setup: Setup, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Setup]:
    """The same, following its store."""
    monkeypatch.setattr(module, "POLL_SECONDS", 0.001)
    task = asyncio.create_task(setup.keeper.poll())
    yield setup
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


def lag(setup: Setup) -> float:
    """The metric."""
    lines = setup.metrics.render().decode().splitlines()
    return float(next(line for line in lines if line.startswith("asl_gateway_replica_policy_lag_seconds")).split()[1])


def test_files_are_read_with_the_built_in_profiles() -> None:
    """Five profiles and no rules come without further configuration."""
    files = read_files(Settings(models=(model(),)))
    assert sorted(files.profiles) == [1, 2, 3, 4, 5]
    assert files.rules == ()


async def test_the_first_policy_is_published(setup: Setup) -> None:
    """Metrics and a ledger row tell what is in force from the start."""
    await setup.keeper.begin()
    (row,) = setup.ledger.of(Kind.POLICY)
    assert (row["models"], row["policy"]) == ("demo-model=asl-3", setup.holder.current.digest)
    text = setup.metrics.render().decode()
    assert 'asl_gateway_active_level{asl="3",model="demo-model",standard="deployment"} 1.0' in text
    assert setup.prepared


async def test_a_change_is_recorded_and_in_force(setup: Setup) -> None:
    """The level is raised when the call returns; one change row, one policy row, and the brake in the metrics."""
    await setup.rise()
    assert setup.level == Level.both(4)
    assert [row["act"] for row in setup.ledger.of(Kind.CHANGE)] == ["raise"]
    assert [row["models"] for row in setup.ledger.of(Kind.POLICY)] == ["demo-model=asl-4"]
    text = setup.metrics.render().decode()
    assert 'asl_gateway_brakes{model="demo-model"} 1.0' in text
    assert 'asl="3",model="demo-model"' not in text


async def test_a_change_without_its_record_is_an_error(setup: Setup) -> None:
    """The caller is told when the row did not get to the disk; the raise is in force all the same (rule 4)."""
    setup.ledger.broken = True
    with pytest.raises(LedgerError):
        await setup.rise()
    assert setup.level == Level.both(4)


@pytest.mark.parametrize("fault", ["broken", "refusing"])
async def test_nothing_is_loosened_without_a_record(setup: Setup, fault: str) -> None:
    """A release that the ledger cannot take is not done: not here, not in the store, not by the next poll; afterwards it can be."""
    await setup.rise()

    async def release() -> None:
        intent: dict[str, Field] = {"act": "release_intended", "model": "demo-model"}
        await setup.keeper.change(
            lambda store: changes.release(store, "demo-model", ACTOR), lambda _: {"act": "release"}, loosening=intent
        )

    setattr(setup.ledger, fault, True)
    with pytest.raises(LedgerError):
        await release()
    assert setup.level == Level.both(4)
    assert len(setup.keeper.store.open_brakes()) == 1
    setattr(setup.ledger, fault, False)
    await release()
    assert setup.level == Level.both(3)
    assert [row["act"] for row in setup.ledger.of(Kind.CHANGE)] == ["raise", "release_intended", "release"]


async def test_a_policy_that_cannot_be_recorded_is_in_force(setup: Setup) -> None:
    """A closed ledger stops serving elsewhere; it does not keep a stricter policy out."""
    setup.ledger.refusing = True
    await setup.keeper.begin()
    assert setup.ledger.rows == []


async def test_a_refused_change_changes_nothing(setup: Setup) -> None:
    """What the act raises comes out, and no row is written."""
    with pytest.raises(ChangeRefused):
        await setup.rise(2)
    assert setup.ledger.rows == []
    assert setup.level == Level.both(3)


async def test_another_replicas_change_is_followed(polling: Setup) -> None:
    """A brake that somebody else wrote is in force soon after."""
    polling.store.add_brake(brake(5))
    async with asyncio.timeout(30):
        while polling.level != Level.both(5):
            await asyncio.sleep(0.001)
    assert polling.ledger.of(Kind.POLICY)


async def test_a_store_that_fails_keeps_the_policy_and_its_lag_grows(polling: Setup) -> None:
    """The level in force stays, the lag metric counts, and both recover with the store."""
    await polling.rise()
    polling.store.fault = "gone"
    await asyncio.sleep(0.05)
    polling.clock.advance(7)
    async with asyncio.timeout(30):
        while lag(polling) < 7:
            await asyncio.sleep(0.001)
    assert polling.level == Level.both(4)
    polling.store.fault = ""
    async with asyncio.timeout(30):
        while lag(polling):
            await asyncio.sleep(0.001)


async def test_a_reload_puts_new_files_in_force(setup: Setup) -> None:
    """Models and rules of the new files are there, and the files are remembered."""
    files = Files(Settings(models=(model(), model("other", 2, ()))), setup.files.profiles, (RULE,))
    await setup.keeper.reload(files)
    assert set(setup.holder.current.entries) == {"demo-model", "other"}
    assert setup.keeper.files is files
    assert any(RULE in rules.rules for rules in setup.prepared)


async def test_a_reload_that_fails_keeps_the_old_files(setup: Setup) -> None:
    """Rules that cannot be compiled, and levels that would fall, leave everything as it was."""
    before = setup.holder.current
    setup.bad = True
    with pytest.raises(RuleError):
        await setup.keeper.reload(Files(setup.files.settings, setup.files.profiles, (RULE,)))
    with pytest.raises(ChangeRefused):
        await setup.keeper.reload(Files(Settings(models=(model(asl=1),)), setup.files.profiles, ()))
    assert setup.keeper.files is setup.files
    assert setup.holder.current is before


async def test_changes_take_turns(setup: Setup) -> None:
    """Two changes at the same time see each other's effect: of two releases of one brake the second is refused."""
    await setup.rise(4)

    async def release() -> None:
        await setup.keeper.change(
            lambda store: changes.release(store, "demo-model", ACTOR), lambda _: {"act": "release"}
        )

    done = await asyncio.gather(release(), release(), return_exceptions=True)
    assert [type(one) for one in done].count(ChangeRefused) == 1


async def test_acts_run_off_the_loop(setup: Setup) -> None:
    """A store that blocks does not stop the data plane."""
    loop_thread = threading.get_ident()

    def act(_: Store) -> int:
        return threading.get_ident()

    assert await setup.keeper.change(act, lambda _: {"act": "none"}) != loop_thread
