"""``ledger ship`` and ``ledger prune``: on a stopped gateway's chain, on one that is held, on a broken one."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result
from support.config_files import copied_levels
from support.ledger_chains import DAY_MS, Chain, filled

from gateway.cli.exits import Exit
from gateway.cli.upkeep import retention_of, verified
from gateway.ledger.base import Kind
from gateway.ledger.pruning import ASKED
from gateway.ledger.segments import segment, segments, take
from gateway.ledger.verify import export, verify
from gateway.state.base import Head
from gateway.state.sqlite import SqliteStore, heads

Asl = Callable[..., Result]
TODAY = 20_500  # days since the epoch, early in 2026; the rows of these tests are older than any clock they run under


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """A state directory without a gateway: three sealed segments, of which the first two are long expired."""
    chain = filled(tmp_path / "state" / "ledger", (3, "asl-1", 100), (3, "asl-3", 200), (3, "asl-1", 40_000))
    store = SqliteStore(tmp_path / "state" / "gateway.db")
    store.set_head(Head("r1", *chain.head))
    store.close()
    return tmp_path / "state"


def sound(state: Path) -> bool:
    """Whether every chain verifies to its stored head."""
    return all(chain.ok for chain in verify(state / "ledger", heads(state / "gateway.db")))


def answer(done: Result) -> dict[str, object]:
    """What was said about the one chain."""
    (found,) = json.loads(done.stdout)["chains"]
    return dict(found)


def test_prune_says_what_would_go_and_then_takes_it(asl: Asl, state: Path) -> None:
    """A dry run touches nothing; the real one leaves rows, a chain that verifies, and nothing more to do."""
    before = list(export(state / "ledger"))
    dry = asl("ledger", "prune", "--dry-run", "--state", str(state), "--json")
    expected = [{"first": first, "last": first + 2, "reason": "expired", "to": ""} for first in (0, 3)]
    assert answer(dry) == {"replica": "r1", "state": "would", "segments": expected, "faults": []}
    assert list(export(state / "ledger")) == before
    assert answer(asl("ledger", "prune", "--state", str(state), "--json"))["segments"] == expected
    assert sound(state)
    assert sum(b'"kind":"pruned"' in row for row in export(state / "ledger")) == 2
    done = asl("ledger", "prune", "--state", str(state))
    assert (done.exit_code, done.stdout) == (0, "r1: 0 segments\n")
    verified = json.loads(asl("ledger", "verify", "--state", str(state), "--json").stdout)
    assert (verified["ok"], verified["chains"][0]["first"]) == (True, 6)


def test_ship_copies_and_then_everything_sealed_may_go(asl: Asl, state: Path, tmp_path: Path) -> None:
    """Shipped segments are pruned although they are not expired; the copies stay."""
    archive = tmp_path / "archive"
    found = answer(asl("ledger", "ship", "--to", str(archive), "--state", str(state), "--json"))
    assert found["state"] == "done"
    assert len(list((archive / "r1").iterdir())) == 3
    assert sound(state)
    shown = asl("ledger", "prune", "--state", str(state)).stdout
    assert "6-8 shipped " + str(archive.absolute()) in shown
    assert sound(state)
    assert len(segments(state / "ledger" / "r1")) == 1
    assert sum(b'"kind":"shipped"' in row for row in export(state / "ledger")) == 3


def test_a_chain_that_is_held_is_asked_for(asl: Asl, state: Path, tmp_path: Path) -> None:
    """Its gateway does the work; the command leaves notes for it and says so."""
    own = state / "ledger" / "r1"
    slot = take(own)
    assert slot is not None
    assert answer(asl("ledger", "prune", "--state", str(state), "--json"))["state"] == "asked"
    assert (own / ASKED).exists()
    assert (
        answer(asl("ledger", "ship", "--to", str(tmp_path / "a"), "--state", str(state), "--json"))["state"] == "asked"
    )
    assert len(list(own.glob("*.shipping"))) == 3
    assert "held by a running gateway" in asl("ledger", "prune", "--state", str(state)).stdout
    slot.release()
    assert sound(state)


@pytest.mark.parametrize("command", [("prune",), ("prune", "--dry-run"), ("ship", "--to", "archive")])
def test_a_broken_chain_is_not_touched(
    asl: Asl, state: Path, command: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Exit 6 with the faults; nothing goes and nothing is copied."""
    monkeypatch.chdir(tmp_path)
    path = segment(state / "ledger" / "r1", 0)
    path.write_bytes(path.read_bytes().replace(b"asl-1", b"asl-2", 1))
    done = asl("ledger", *command, "--state", str(state))
    assert done.exit_code == Exit.VERIFICATION_FAILED
    assert "BROKEN" in done.stdout
    assert ":1: the hash of row 0" in done.stdout
    assert len(segments(state / "ledger" / "r1")) == 4
    assert not (tmp_path / "archive").exists()
    free = take(state / "ledger" / "r1")
    assert free is not None
    free.release()


def test_what_cannot_be_copied_fails(asl: Asl, state: Path, tmp_path: Path) -> None:
    """A place that is a file is an error of the command, without a trace."""
    (tmp_path / "file").touch()
    done = asl("ledger", "ship", "--to", str(tmp_path / "file"), "--state", str(state))
    assert done.exit_code == Exit.FAILURE
    assert "file" in done.stderr


def test_longer_retention_of_the_gateway_or_its_configuration_counts(asl: Asl, state: Path, tmp_path: Path) -> None:
    """A command that knows less than the gateway that wrote the chain prunes no more than it would."""
    levels = copied_levels(tmp_path / "levels")
    for asl_number in range(1, 6):
        path = levels / f"asl-{asl_number}.yaml"
        path.write_text(
            "\n".join(line for line in path.read_text().splitlines() if "retention:" not in line)
            + "\nretention: 36500\n"
        )
    config = tmp_path / "gateway.yaml"
    config.write_text(
        f"state: {state}\nlevels: {levels}\nmodels: [{{name: m, asl: 1, upstream: {{url: 'http://127.0.0.1:9'}}}}]\n"
    )
    arguments = ("ledger", "prune", "--dry-run", "--state", str(state), "--json")
    assert answer(asl(*arguments, "--config", str(config)))["segments"] == []
    assert set(retention_of(config).values()) == {36_500}
    assert asl(*arguments, "--config", str(tmp_path / "none.yaml")).exit_code == Exit.CONFIG_INVALID
    chain = Chain(tmp_path / "other" / "ledger")
    chain.row(Kind.OUTCOME, asl="asl-1", time_ms=DAY_MS)
    chain.turn()
    chain.row(Kind.START, retention="36500,36500,36500,36500,36500", time_ms=TODAY * DAY_MS)
    store = SqliteStore(tmp_path / "other" / "gateway.db")
    store.set_head(Head("r1", *chain.head))
    store.close()
    assert answer(asl(*arguments[:4], str(tmp_path / "other"), "--json"))["segments"] == []


def test_a_failed_verification_is_repeated_when_heads_have_moved() -> None:
    """A chain that was pruned between two looks is not called broken; one that is broken is verified no more than twice."""
    looks = iter([{"r1": (1, "a")}, {"r1": (2, "b")}])
    assert verified(lambda: next(looks), lambda known: known["r1"][0], lambda found: found == 2) == 2
    seen: list[int] = []
    assert not verified(dict, lambda _: seen.append(1) or False, bool)
    assert seen == [1]
