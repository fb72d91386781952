"""The state directory is locked, damaged, taken away or without its secrets: the policy in force stays, nothing starts on an empty one."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.faulting import Scene, config, scene, sound
from support.running import SECONDS, command, until

from gateway.cli.exits import Exit
from gateway.state.sqlite import heads

BRAKE = {"level": "asl-5", "owner": "operator", "reason": "a test"}
OVER = {"owner": "operator", "reason": "the test is over"}


@pytest.fixture
def one(tmp_path: Path) -> Iterator[Scene]:
    """A gateway whose state directory is spoilt under it."""
    with scene(tmp_path) as made:
        made.served()
        yield made


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Another process writes, and does not come to an end."""
    with contextlib.closing(sqlite3.connect(path, isolation_level=None, timeout=SECONDS)) as other:
        other.execute("BEGIN IMMEDIATE")
        try:
            yield
        finally:
            other.execute("ROLLBACK")


def in_force(one: Scene) -> str:
    """The level in force."""
    return str(one.running.api("GET", "/models/demo-model").json()["in_force"])


def operated(one: Scene) -> None:
    """A level can be raised and released again, and benign traffic is served."""
    assert one.running.api("POST", "/models/demo-model/brakes", json=BRAKE).status_code == 201
    assert one.running.chat().status_code == 403
    assert one.running.api("DELETE", "/models/demo-model/brakes", json=OVER).status_code == 200
    one.served()


def test_a_database_that_is_busy(one: Scene) -> None:
    """Traffic does not wait for it; a raise is refused in so many words and changes nothing; then all works, and the head catches up."""
    database = one.running.state / "gateway.db"
    with locked(database):
        begun = time.monotonic()
        for _ in range(12):  # one of them waiting out the store's own timeout would be five seconds
            assert one.running.chat().status_code == 200
        assert time.monotonic() - begun < SECONDS
        refused = one.running.api("POST", "/models/demo-model/brakes", json=BRAKE)
        assert (refused.status_code, refused.json()["code"]) == (503, "store_unavailable")
        assert in_force(one) == "asl-3"
    operated(one)
    last = int(one.rows("outcome")[-1]["seq"])
    until(lambda: heads(database)["r1"][0] >= last)
    assert sound(one.running.state)


def test_a_database_that_is_gone(one: Scene) -> None:
    """The policy in force stays, its lag is counted, changes are refused; put back, it is followed again without a restart."""
    database = one.running.state / "gateway.db"
    kept = database.with_name("kept.db")
    database.rename(kept)
    until(lambda: one.total("replica_policy_lag_seconds") > 0)
    one.served()
    assert one.running.api("POST", "/models/demo-model/brakes", json=BRAKE).status_code == 503
    assert in_force(one) == "asl-3"
    assert one.running.ready().status_code == 200
    kept.rename(database)
    until(lambda: one.total("replica_policy_lag_seconds") == 0)
    operated(one)


def test_a_database_that_is_exchanged(one: Scene) -> None:
    """Another database under the same name, a restored backup for example, is not believed: an open brake holds."""
    database = one.running.state / "gateway.db"
    backup = database.with_name("backup.db")
    with contextlib.closing(sqlite3.connect(database)) as source, contextlib.closing(sqlite3.connect(backup)) as target:
        source.backup(target)
    assert one.running.api("POST", "/models/demo-model/brakes", json=BRAKE).status_code == 201
    kept = database.with_name("kept.db")
    database.rename(kept)
    backup.rename(database)
    until(lambda: one.total("replica_policy_lag_seconds") > 0)
    assert (in_force(one), one.running.chat().status_code) == ("asl-5", 403)
    kept.rename(database)
    until(lambda: one.total("replica_policy_lag_seconds") == 0)
    assert one.running.api("DELETE", "/models/demo-model/brakes", json=OVER).status_code == 200
    one.served()


def test_a_database_that_is_damaged(one: Scene, tmp_path: Path) -> None:
    """Garbage in the file: what is in force stays in force; a restart ends with 1 and the path; with the file restored it starts."""
    database = one.running.state / "gateway.db"
    assert one.running.api("POST", "/models/demo-model/brakes", json=BRAKE).status_code == 201
    whole = _settled(one, database)
    with database.open("r+b") as file:
        file.seek(0)
        file.write(os.urandom(len(whole)))
    assert (in_force(one), one.running.chat().status_code) == ("asl-5", 403)
    one.running.kill()
    for rest in ("gateway.db-wal", "gateway.db-shm"):
        database.with_name(rest).unlink(missing_ok=True)
    code, out, errors = command("serve", "--config", str(tmp_path / "gateway.yaml"))
    assert (code, out, str(database) in errors) == (Exit.FAILURE, "", True)
    database.write_bytes(whole)
    with scene(tmp_path) as again:
        assert again.running.chat().status_code == 403
        assert again.running.api("DELETE", "/models/demo-model/brakes", json=OVER).status_code == 200
        again.served()


def _settled(one: Scene, database: Path) -> bytes:
    """The database with everything in its main file."""
    last = int(one.rows("change")[-1]["seq"])
    until(lambda: heads(database)["r1"][0] >= last)
    with contextlib.closing(sqlite3.connect(database, isolation_level=None, timeout=SECONDS)) as other:
        until(lambda: other.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0] == 0)
    return database.read_bytes()


def test_a_database_that_is_missing_at_start(one: Scene, tmp_path: Path) -> None:
    """A ledger with rows and no database is not an empty policy: exit 6; restored, the brake is in force again."""
    assert one.running.api("POST", "/models/demo-model/brakes", json=BRAKE).status_code == 201
    assert one.running.stop() == 0
    database = one.running.state / "gateway.db"
    kept = database.with_name("kept.db")
    database.rename(kept)
    code, out, errors = command("serve", "--config", str(tmp_path / "gateway.yaml"))
    assert (code, out, str(database) in errors) == (Exit.VERIFICATION_FAILED, "", True)
    kept.rename(database)
    with scene(tmp_path) as again:
        assert again.running.chat().status_code == 403
        assert again.running.api("DELETE", "/models/demo-model/brakes", json=OVER).status_code == 200
        again.served()


def test_a_registry_that_is_half_written(one: Scene, tmp_path: Path) -> None:
    """Without a readable admin.json the command says so and ends with 1; the next start makes it anew."""
    registry = one.running.state / "admin.json"
    registry.write_text(registry.read_text()[:20])
    code, out, errors = command("level", "show", "--state", str(one.running.state))
    assert (code, out) == (Exit.FAILURE, "")
    assert errors.startswith("asl-gateway: ")
    one.served()
    assert one.running.stop() == 0
    with scene(tmp_path) as again:
        assert command("level", "show", "--state", str(again.running.state))[0] == 0
        again.served()


@pytest.mark.parametrize("name", ["operator.token", "digest.key"])
@pytest.mark.parametrize("spoilt", ["empty", "half_written", "unreadable"])
def test_a_secret_that_cannot_be_read(tmp_path: Path, name: str, spoilt: str) -> None:
    """A start ends with 1 and the path, and never makes another secret over the one that is there; mended, it starts."""
    state = tmp_path / "state"
    state.mkdir(mode=0o700)
    match spoilt:
        case "empty":
            (state / name).touch()
        case "half_written":
            (state / name).write_text("0123456789abcdef")
        case _:  # root reads whatever the mode says; nobody reads a directory
            (state / name).mkdir()
    config(tmp_path, "http://127.0.0.1:9")
    code, out, errors = command("serve", "--config", str(tmp_path / "gateway.yaml"))
    assert (code, out, str(state / name) in errors) == (Exit.FAILURE, "", True)
    if spoilt == "unreadable":
        (state / name).rmdir()
        with scene(tmp_path) as one:
            one.served()
