"""The sqlite store: the seam's promises, several processes, kill -9, permissions, and files that are not ours."""

from __future__ import annotations

import contextlib
import itertools
import os
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support import store_writer
from support.fake_store import FakeStore
from support.store_conformance import StoreConformance, brake

from gateway.state import sqlite
from gateway.state.base import Declared, Head, Store, StoredRule, StoreError
from gateway.state.sqlite import SqliteStore, heads
from gateway.terms import Level

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


@pytest.fixture
def filled(path: Path) -> Path:
    """A closed store with something of everything in it."""
    store = SqliteStore(path)
    fill(store)
    store.close()
    return path


def fill(store: Store, brakes: int = 40) -> None:
    """Something of everything, over several pages."""
    for number in range(brakes):
        store.add_brake(brake(f"b-{number:03}", opened=1 + number))
    store.declare(Declared("m", Level.both(3), "operator", 1))
    store.add_rule(StoredRule("r-1", "{}" + " " * 500, "o", 1))
    store.set_head(Head("r1", 7, "aa"))


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


@pytest.mark.parametrize("keep", [0, 1, 15, 99, 100, 511, 4095, 4096, 8192, 20000])
def test_a_truncated_file_is_an_error(filled: Path, keep: int) -> None:
    """A file cut anywhere is refused, also when nothing is left of it; it is never taken for a new one."""
    whole = filled.read_bytes()
    assert keep < len(whole)
    filled.write_bytes(whole[:keep])
    with pytest.raises(StoreError):
        SqliteStore(filled)
    assert filled.stat().st_size == keep


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The bytes of a filled database."""
    path = tmp_path_factory.mktemp("whole") / "gateway.db"
    store = SqliteStore(path)
    fill(store)
    store.close()
    return path.read_bytes()


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(position=st.floats(0, 1, exclude_max=True), junk=st.binary(min_size=1, max_size=6000))
def test_damage_is_an_error_or_harmless(path: Path, whole: bytes, position: float, junk: bytes) -> None:
    """Whatever is written over whichever part, every brake is still there, or opening or reading raises StoreError."""
    begin = int(position * len(whole))
    path.write_bytes((whole[:begin] + junk + whole[begin + len(junk) :])[: len(whole)])
    try:
        store = SqliteStore(path)
    except StoreError:
        return
    with contextlib.closing(store), contextlib.suppress(StoreError):
        assert len(store.all_brakes()) == 40


def no_tables(path: Path) -> None:
    """A database without any table."""
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("VACUUM")


def foreign(path: Path) -> None:
    """Somebody else's database."""
    run(path, "CREATE TABLE brakes (x)")


def same_version(path: Path) -> None:
    """Somebody else's database that happens to have our version number."""
    run(path, "CREATE TABLE brakes (x)", f"PRAGMA user_version = {sqlite.VERSION}")


def run(path: Path, *statements: str) -> None:
    """Change a database behind the store's back."""
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
        for statement in statements:
            connection.execute(statement)


def ours(*statements: str) -> Callable[[Path], None]:
    """A database of ours that was changed behind our back."""

    def make(path: Path) -> None:
        SqliteStore(path).close()
        run(path, *statements)

    return make


STRANGERS: dict[str, Callable[[Path], object]] = {
    "junk": lambda path: path.write_bytes(b"\x00junk" * 999),
    "text": lambda path: path.write_text("brakes: []\n"),
    "empty": lambda path: path.touch(),
    "directory": lambda path: path.mkdir(),
    "no tables": no_tables,
    "foreign": foreign,
    "same version": same_version,
    "newer": ours(f"PRAGMA user_version = {sqlite.VERSION + 1}"),
    "older": ours("PRAGMA user_version = 0"),
    "table missing": ours("DROP TABLE brakes"),
    "table added": ours("CREATE TABLE more (x)"),
    "no revision": ours("DELETE FROM revision"),
}


@pytest.mark.parametrize("name", STRANGERS)
def test_a_file_that_is_not_ours_is_an_error(path: Path, name: str) -> None:
    """What is no whole database of this version is refused by opening, and by the verifier's reading."""
    STRANGERS[name](path)
    with pytest.raises(StoreError, match=r"gateway\.db"):
        SqliteStore(path)
    with pytest.raises(StoreError, match=r"gateway\.db"):
        heads(path)


def test_a_database_with_an_impossible_level_is_an_error(path: Path) -> None:
    """Opening finds what no program of ours would have written."""
    statement = "INSERT INTO declared VALUES ('m', 9, 9, 'o', 1, 'b')"
    ours("PRAGMA ignore_check_constraints = 1", statement)(path)
    with pytest.raises(StoreError, match="declared"):
        SqliteStore(path)


def test_a_missing_directory_is_an_error(tmp_path: Path) -> None:
    """The store makes its file, not its directory; the operating system's word is translated."""
    with pytest.raises(StoreError, match="No such file or directory"):
        SqliteStore(tmp_path / "nowhere" / "gateway.db")


def test_a_log_without_its_file_is_an_error(filled: Path) -> None:
    """Where the file is gone and its log is left, something was lost; a new database would hide it, or replay the old log."""
    filled.with_name("gateway.db-wal").touch()
    filled.unlink()
    with pytest.raises(StoreError, match="write-ahead log"):
        SqliteStore(filled)
    assert not filled.exists()


def test_a_file_that_another_process_made_first_is_used(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of two processes that create a store at once, the slower one takes the faster one's file and leaves no draft behind."""
    faster = SqliteStore(path)
    faster.add_brake(brake())
    answers, exists = iter([False]), Path.exists
    monkeypatch.setattr(Path, "exists", lambda self: next(answers, True) if self == path else exists(self))
    slower = SqliteStore(path)
    assert slower.open_brakes() == (brake(),)
    slower.close()
    faster.close()
    assert [found.name for found in path.parent.iterdir()] == ["gateway.db"]


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
