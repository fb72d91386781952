"""Files that are not a whole database of ours: an error each time, never an empty state."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.store_conformance import brake, fill
from support.store_files import run

from gateway.state import sqlite
from gateway.state.base import StoreError
from gateway.state.sqlite import SqliteStore, heads


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
