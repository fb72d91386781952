"""The sqlite store: the seam's promises, several processes, kill -9, permissions, and files that are not ours."""

from __future__ import annotations

import itertools
import os
import sqlite3
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from support import store_writer
from support.fake_store import FakeStore
from support.store_conformance import StoreConformance, brake, fill
from support.store_files import run

from gateway.state import sqlite
from gateway.state.base import Head, Store, StoreError
from gateway.state.sqlite import SqliteStore, heads

WRITER = Path(store_writer.__file__)


class TestSqliteStore(StoreConformance):
    """The store on disk keeps the seam's promises."""

    @pytest.fixture(autouse=True)
    def _place(self, tmp_path: Path) -> None:
        self.path = tmp_path / "gateway.db"

    def make(self) -> Store:
        """An empty store in a new file."""
        return SqliteStore(self.path)


class TestFakeStore(StoreConformance):
    """The store of other rooms' tests keeps the same promises."""

    def make(self) -> Store:
        """An empty store in memory."""
        return FakeStore()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where a store would be."""
    return tmp_path / "gateway.db"


def contents(store: Store) -> tuple[object, ...]:
    """Everything that decides."""
    return store.revision(), store.all_brakes(), store.declared(), store.rules(), store.head("r1")


def start(path: Path, prefix: str, count: int) -> subprocess.Popen[str]:
    """A writer process."""
    environment = {**os.environ, "PYTHONPATH": str(Path(sqlite.__file__).parents[2])}
    return subprocess.Popen(
        [sys.executable, str(WRITER), str(path), prefix, str(count)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    )


def test_everything_survives_a_restart(path: Path) -> None:
    """A store opened again holds what the first one held."""
    store = SqliteStore(path)
    fill(store)
    before = contents(store)
    store.close()
    again = SqliteStore(path)
    assert contents(again) == before
    again.close()


def test_processes_lose_no_brake_and_the_revision_only_grows(path: Path) -> None:
    """Three processes that create and write one store at the same time all get every brake in."""
    writers = [start(path, prefix, 20) for prefix in "xyz"]
    results = [writer.communicate(timeout=60) for writer in writers]
    assert [error for _, error in results] == ["", "", ""]
    revisions = [[int(line.split()[1]) for line in out.splitlines()] for out, _ in results]
    for seen in revisions:
        assert all(before < after for before, after in itertools.pairwise(seen))
    store = SqliteStore(path)
    assert {found.id for found in store.open_brakes()} == {f"{p}-{n}" for p in "xyz" for n in range(1, 21)}
    assert store.revision() == 60 == max(map(max, revisions))
    store.close()


def test_kill_loses_no_acknowledged_brake(path: Path) -> None:
    """After each of ten kill -9 in the middle of writing, the store opens and holds every acknowledged brake."""
    acknowledged: set[str] = set()
    for cycle in range(10):
        writer = start(path, f"k{cycle}", 0)
        assert writer.stdout is not None
        for line in itertools.islice(writer.stdout, 2 + 3 * cycle):
            acknowledged.add(line.split()[0])
        writer.kill()
        rest, _ = writer.communicate(timeout=30)
        acknowledged |= {line.split()[0] for line in rest.splitlines() if line.count(" ") == 1 and line.split()[1:]}
        store = SqliteStore(path)
        held = {found.id for found in store.open_brakes()}
        assert acknowledged <= held
        assert store.revision() == len(held)
        store.close()
    assert len(acknowledged) >= 2 * 10 + 3 * 45


def test_a_lost_log_loses_no_brake(path: Path, tmp_path: Path) -> None:
    """A copy of the main file alone, as a careless backup makes it, holds every acknowledged policy write."""
    store = SqliteStore(path)
    fill(store, brakes=5)
    copy = tmp_path / "copy" / "gateway.db"
    copy.parent.mkdir()
    copy.write_bytes(path.read_bytes())
    restored = SqliteStore(copy)
    assert restored.open_brakes() == store.open_brakes()
    assert restored.revision() == store.revision()
    restored.close()
    store.close()


def test_a_policy_write_stands_where_the_log_cannot_be_moved(path: Path) -> None:
    """A reader that keeps the log in use neither delays nor undoes an acknowledged write."""
    store = SqliteStore(path)
    reader = sqlite3.connect(path, isolation_level=None)
    reader.execute("BEGIN")
    reader.execute("SELECT * FROM brakes").fetchall()
    store.add_brake(brake())
    assert store.open_brakes() == (brake(),)
    reader.close()
    store.close()


def test_files_are_for_their_owner_only(path: Path) -> None:
    """The database, its log and its index are 0600, also where the file was laxer before."""
    store = SqliteStore(path)
    store.add_brake(brake())
    store.close()
    path.chmod(0o644)
    store = SqliteStore(path)
    store.add_brake(brake("b-2"))
    names = {found.name: stat.S_IMODE(found.stat().st_mode) for found in path.parent.iterdir()}
    assert names == {"gateway.db": 0o600, "gateway.db-wal": 0o600, "gateway.db-shm": 0o600}
    store.close()


def test_names_with_special_characters_are_paths(tmp_path: Path) -> None:
    """A state directory may be called anything; nothing in its name is read as an option."""
    odd = tmp_path / "a b?mode=memory#%20'é"
    odd.mkdir()
    store = SqliteStore(odd / "gateway.db")
    store.add_brake(brake())
    store.close()
    assert (odd / "gateway.db").stat().st_size > 0
    assert heads(odd / "gateway.db") == {}


@pytest.mark.parametrize("act", ["removed", "exchanged"])
def test_a_file_exchanged_under_us_is_noticed(path: Path, tmp_path: Path, act: str) -> None:
    """Once the file is gone or another one, reads and writes raise: nobody else would ever see what is written."""
    store = SqliteStore(path)
    store.add_brake(brake())
    if act == "removed":
        path.unlink()
    else:
        other = tmp_path / "other.db"
        SqliteStore(other).close()
        other.replace(path)
    for use in (store.revision, store.open_brakes, lambda: store.add_brake(brake("b-2"))):
        with pytest.raises(StoreError):
            use()
    store.close()


def test_a_store_that_goes_back_is_an_error(path: Path) -> None:
    """An older state put in place of ours under the same name is neither followed nor written to: its revision says what it is."""
    store = SqliteStore(path)
    fill(store, brakes=5)
    before = store.all_brakes()
    run(path, "UPDATE revision SET value = 2")
    with pytest.raises(StoreError, match="went back from revision 7 to 2"):
        store.revision()
    with pytest.raises(StoreError, match="went back"):
        store.add_brake(brake("late"))
    assert store.all_brakes() == before
    store.close()


def test_an_impossible_value_written_behind_our_back_is_an_error(path: Path) -> None:
    """A level that does not exist raises StoreError when it is read; it is neither skipped nor another exception."""
    store = SqliteStore(path)
    run(
        path,
        "PRAGMA ignore_check_constraints = 1",
        "INSERT INTO brakes VALUES ('b-1', 'm', 9, 1, 'r', 'o', 1, 0, '', '')",
    )
    with pytest.raises(StoreError, match="impossible value"):
        store.open_brakes()
    store.close()


def test_a_value_that_sqlite_cannot_hold_is_an_error(path: Path) -> None:
    """A number beyond 64 bits raises StoreError, and the store works on."""
    store = SqliteStore(path)
    with pytest.raises(StoreError):
        store.add_brake(brake(opened=2**64))
    store.add_brake(brake())
    assert store.open_brakes() == (brake(),)
    assert store.revision() == 1
    store.close()


def test_a_store_in_use_elsewhere_is_an_error_after_the_busy_timeout(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A writer that does not let go makes a write fail, and nothing of it is left."""
    monkeypatch.setattr(sqlite, "BUSY_MS", 10)
    store = SqliteStore(path)
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreError, match="locked"):
        store.add_brake(brake())
    other.execute("ROLLBACK")
    other.close()
    assert store.all_brakes() == ()
    store.close()


class Full:
    """A connection whose commits fail; sqlite has, or has not, ended the transaction by itself."""

    def __init__(self, inner: sqlite3.Connection, *, ended: bool) -> None:
        self._inner, self._ended = inner, ended

    @property
    def in_transaction(self) -> bool:
        """As sqlite says."""
        return self._inner.in_transaction

    def execute(self, statement: str, *parameters: object) -> sqlite3.Cursor:
        """COMMIT finds the disk full."""
        if statement != "COMMIT":
            return self._inner.execute(statement, *parameters)
        if self._ended:
            self._inner.execute("ROLLBACK")
        raise sqlite3.OperationalError("database or disk is full")


@pytest.mark.parametrize("ended", [True, False])
def test_a_full_disk_fails_one_write_and_not_the_next(path: Path, ended: bool) -> None:
    """A commit that fails is reported and undone; the store can be written again once there is room."""
    store = SqliteStore(path)
    whole = store._connection
    store._connection = Full(whole, ended=ended)  # type: ignore[assignment]  # a fault of the disk cannot be had otherwise
    with pytest.raises(StoreError, match="full"):
        store.add_brake(brake())
    store._connection = whole
    assert store.all_brakes() == ()
    store.add_brake(brake())
    assert store.revision() == 1
    store.close()


def test_heads_are_read_beside_a_running_store(path: Path) -> None:
    """The verifier sees the heads of a store in use, and of one that is closed, and changes neither."""
    store = SqliteStore(path)
    store.set_head(Head("r1", 7, "aa"))
    store.set_head(Head("r2", 1, "bb"))
    assert heads(path) == {"r1": (7, "aa"), "r2": (1, "bb")}
    store.close()
    before = path.read_bytes()
    assert heads(path) == {"r1": (7, "aa"), "r2": (1, "bb")}
    assert path.read_bytes() == before


def test_heads_of_a_missing_file_are_an_error(path: Path) -> None:
    """Reading does not create."""
    with pytest.raises(StoreError, match="no such file"):
        heads(path)
    assert not path.exists()
