"""The store in ``gateway.db``: sqlite in WAL mode, safe with several processes on one directory and several threads in one process.

A file that is not our database is an error, never an empty state: emptiness would look like "no brakes".
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path

from gateway.state.base import Brake, Declared, Head, StoredRule, StoreError
from gateway.terms import Level

VERSION = 1
BUSY_MS = 5000

SCHEMA = """
CREATE TABLE brakes (
    id TEXT PRIMARY KEY, model TEXT NOT NULL, deployment INTEGER NOT NULL, security INTEGER NOT NULL, reason TEXT NOT NULL,
    owner TEXT NOT NULL, opened INTEGER NOT NULL, released INTEGER NOT NULL, released_by TEXT NOT NULL, release_reason TEXT NOT NULL
) STRICT;
CREATE TABLE declared (
    model TEXT PRIMARY KEY, deployment INTEGER NOT NULL, security INTEGER NOT NULL, declared_by TEXT NOT NULL,
    declared INTEGER NOT NULL, basis TEXT NOT NULL
) STRICT;
CREATE TABLE rules (id TEXT PRIMARY KEY, body TEXT NOT NULL, added_by TEXT NOT NULL, added INTEGER NOT NULL) STRICT;
CREATE TABLE heads (replica TEXT PRIMARY KEY, sequence INTEGER NOT NULL, digest TEXT NOT NULL) STRICT;
CREATE TABLE revision (only INTEGER PRIMARY KEY CHECK (only = 1), value INTEGER NOT NULL) STRICT;
INSERT INTO revision VALUES (1, 0);
"""


def _connect(path: Path, *, create: bool) -> sqlite3.Connection:
    mode = "rwc" if create else "ro"
    connection = sqlite3.connect(
        f"file:{path}?mode={mode}", uri=True, timeout=BUSY_MS / 1000, isolation_level=None, check_same_thread=False
    )
    connection.execute(f"PRAGMA busy_timeout = {BUSY_MS}")
    return connection


@contextlib.contextmanager
def _translated(path: Path) -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        raise StoreError(f"{path}: {error}") from error


def heads(path: Path) -> dict[str, tuple[int, str]]:
    """The ledger heads of a database, read only: for verification while a gateway runs or not. Raises StoreError."""
    if not path.exists():
        raise StoreError(f"{path}: there is no such file")
    with _translated(path), contextlib.closing(_connect(path, create=False)) as connection:
        return {
            replica: (sequence, digest)
            for replica, sequence, digest in connection.execute("SELECT replica, sequence, digest FROM heads")
        }


class SqliteStore:
    """The store of one state directory. Methods block for at most a few milliseconds, or the busy timeout under contention."""

    def __init__(self, path: Path) -> None:
        """Open, creating what is missing. Raises StoreError for anything that is not this schema."""
        self._path = path
        self._lock = threading.Lock()  # one connection, several threads; never held on the event loop
        with _translated(path):
            with contextlib.suppress(FileExistsError):
                os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
            self._connection = _connect(path, create=True)
            try:
                self._prepare()
            except BaseException:
                self._connection.close()
                raise

    def _prepare(self) -> None:
        self._connection.execute("PRAGMA journal_mode = WAL")
        self._connection.execute("PRAGMA synchronous = FULL")
        with self._write(bump=False) as connection:
            (version,) = connection.execute("PRAGMA user_version").fetchone()
            if version == 0 and not connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
                for statement in SCHEMA.split(";"):
                    connection.execute(statement)
                connection.execute(f"PRAGMA user_version = {VERSION}")
            elif version != VERSION:
                raise StoreError(f"{self._path}: schema version {version}; this program knows {VERSION}")

    @contextlib.contextmanager
    def _read(self) -> Iterator[sqlite3.Connection]:
        with self._lock, _translated(self._path):
            yield self._connection

    @contextlib.contextmanager
    def _write(self, *, bump: bool = True) -> Iterator[sqlite3.Connection]:
        """One transaction; policy writes bump the revision within it."""
        with self._read() as connection:
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
                if bump:
                    connection.execute("UPDATE revision SET value = value + 1")
            except BaseException:
                connection.execute("ROLLBACK")
                raise
            connection.execute("COMMIT")

    def revision(self) -> int:
        """Grows with every policy write of any process."""
        with self._read() as connection:
            row = connection.execute("SELECT value FROM revision").fetchone()
            return int(row[0])

    def open_brakes(self) -> tuple[Brake, ...]:
        """Brakes in force, oldest first."""
        return tuple(brake for brake in self.all_brakes() if not brake.released)

    def all_brakes(self) -> tuple[Brake, ...]:
        """Every brake there ever was, oldest first."""
        with self._read() as connection:
            return tuple(_brake(row) for row in connection.execute("SELECT * FROM brakes ORDER BY opened, id"))

    def add_brake(self, brake: Brake) -> None:
        """Open a brake. Raises KeyError when the id is taken."""
        row = (
            brake.id,
            brake.model,
            brake.level.deployment,
            brake.level.security,
            brake.reason,
            brake.owner,
            brake.opened,
        )
        with self._write() as connection:
            if connection.execute("SELECT 1 FROM brakes WHERE id = ?", (brake.id,)).fetchone():
                raise KeyError(brake.id)
            connection.execute("INSERT INTO brakes VALUES (?, ?, ?, ?, ?, ?, ?, 0, '', '')", row)

    def release_brake(self, brake_id: str, *, by: str, reason: str, at: int) -> Brake:
        """Release an open brake. Raises KeyError for an unknown or already released one."""
        with self._write() as connection:
            changed = connection.execute(
                "UPDATE brakes SET released = ?, released_by = ?, release_reason = ? WHERE id = ? AND released = 0",
                (at, by, reason, brake_id),
            ).rowcount
            if not changed:
                raise KeyError(brake_id)
            return _brake(connection.execute("SELECT * FROM brakes WHERE id = ?", (brake_id,)).fetchone())

    def declared(self) -> tuple[Declared, ...]:
        """Declared records, by model."""
        with self._read() as connection:
            rows = connection.execute("SELECT * FROM declared ORDER BY model").fetchall()
        return tuple(
            Declared(model, Level(first, second), by, at, basis) for model, first, second, by, at, basis in rows
        )

    def declare(self, record: Declared) -> None:
        """Insert or replace the declared record of a model."""
        row = (
            record.model,
            record.level.deployment,
            record.level.security,
            record.declared_by,
            record.declared,
            record.basis,
        )
        with self._write() as connection:
            connection.execute("INSERT OR REPLACE INTO declared VALUES (?, ?, ?, ?, ?, ?)", row)

    def rules(self) -> tuple[StoredRule, ...]:
        """Rules added at run time, by id."""
        with self._read() as connection:
            return tuple(
                StoredRule(*row)
                for row in connection.execute("SELECT id, body, added_by, added FROM rules ORDER BY id")
            )

    def add_rule(self, rule: StoredRule) -> None:
        """Add a rule. Raises KeyError when the id is taken."""
        with self._write() as connection:
            if connection.execute("SELECT 1 FROM rules WHERE id = ?", (rule.id,)).fetchone():
                raise KeyError(rule.id)
            connection.execute("INSERT INTO rules VALUES (?, ?, ?, ?)", (rule.id, rule.body, rule.added_by, rule.added))

    def remove_rule(self, rule_id: str) -> None:
        """Remove a rule. Raises KeyError when there is none."""
        with self._write() as connection:
            if not connection.execute("DELETE FROM rules WHERE id = ?", (rule_id,)).rowcount:
                raise KeyError(rule_id)

    def head(self, replica: str) -> Head | None:
        """The head of a ledger chain, if there is one."""
        with self._read() as connection:
            row = connection.execute(
                "SELECT replica, sequence, digest FROM heads WHERE replica = ?", (replica,)
            ).fetchone()
            return Head(*row) if row else None

    def set_head(self, head: Head) -> None:
        """Move a head. Not a policy write."""
        with self._write(bump=False) as connection:
            connection.execute(
                "INSERT OR REPLACE INTO heads VALUES (?, ?, ?)", (head.replica, head.sequence, head.digest)
            )

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._connection.close()


def _brake(row: tuple[str, str, int, int, str, str, int, int, str, str]) -> Brake:
    identity, model, first, second, reason, owner, opened, released, by, why = row
    return Brake(identity, model, Level(first, second), reason, owner, opened, released, by, why)
