"""The store in ``gateway.db``: sqlite in WAL mode, safe with several processes on one directory and several threads in one process.

A file that is not our database is an error, never an empty state: emptiness would look like "no brakes". So a new database appears
under its name only when it is complete, what stands there already is checked before it is used, and a file exchanged under us is noticed.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path
from types import EllipsisType

from gateway.state.base import Brake, Declared, Head, StoredRule, StoreError
from gateway.terms import Level

VERSION = 1
BUSY_MS = 5000

SCHEMA = (
    """CREATE TABLE brakes (
    id TEXT PRIMARY KEY, model TEXT NOT NULL, deployment INTEGER NOT NULL CHECK (deployment BETWEEN 1 AND 5),
    security INTEGER NOT NULL CHECK (security BETWEEN 1 AND 5), reason TEXT NOT NULL, owner TEXT NOT NULL, opened INTEGER NOT NULL,
    released INTEGER NOT NULL CHECK (released >= 0), released_by TEXT NOT NULL, release_reason TEXT NOT NULL
) STRICT""",
    """CREATE TABLE declared (
    model TEXT PRIMARY KEY, deployment INTEGER NOT NULL CHECK (deployment BETWEEN 1 AND 5),
    security INTEGER NOT NULL CHECK (security BETWEEN 1 AND 5), declared_by TEXT NOT NULL, declared INTEGER NOT NULL, basis TEXT NOT NULL
) STRICT""",
    "CREATE TABLE rules (id TEXT PRIMARY KEY, body TEXT NOT NULL, added_by TEXT NOT NULL, added INTEGER NOT NULL) STRICT",
    "CREATE TABLE heads (replica TEXT PRIMARY KEY, sequence INTEGER NOT NULL, digest TEXT NOT NULL) STRICT",
    "CREATE TABLE revision (only INTEGER PRIMARY KEY CHECK (only = 1), value INTEGER NOT NULL) STRICT",
)
LAYOUT = "SELECT type, name, tbl_name, sql FROM sqlite_schema ORDER BY type, name"


def _connect(path: Path, mode: str) -> sqlite3.Connection:
    # as_uri escapes what would otherwise be read as a query or a fragment
    connection = sqlite3.connect(
        f"{path.absolute().as_uri()}?mode={mode}",
        uri=True,
        timeout=BUSY_MS / 1000,
        isolation_level=None,
        check_same_thread=False,
    )
    # Fully written through at each commit: a brake that was acknowledged survives power loss.
    connection.execute("PRAGMA synchronous = FULL")
    return connection


@contextlib.contextmanager
def _translated(path: Path) -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        raise StoreError(f"{path}: {error}") from error
    except OSError as error:
        raise StoreError(f"{path}: {error.strerror or error}") from error
    except (ValueError, OverflowError) as error:  # what no program of ours writes, such as a level of 9
        raise StoreError(f"{path}: holds an impossible value: {error}") from error


def heads(path: Path) -> dict[str, tuple[int, str]]:
    """The ledger heads of a database, read only: for verification while a gateway runs or not. Raises StoreError."""
    if not path.exists():
        raise StoreError(f"{path}: there is no such file")
    with _translated(path), contextlib.closing(_connect(path, "ro")) as connection:
        _vet(path, connection)
        return {
            replica: (sequence, digest)
            for replica, sequence, digest in connection.execute("SELECT replica, sequence, digest FROM heads")
        }


def _lay_out(connection: sqlite3.Connection) -> None:
    connection.execute("BEGIN")
    for statement in SCHEMA:
        connection.execute(statement)
    connection.execute("INSERT INTO revision VALUES (1, 0)")
    connection.execute(f"PRAGMA user_version = {VERSION}")
    connection.execute("COMMIT")


def _create(path: Path) -> None:
    """Put an empty database under its name, complete or not at all, and never over another one."""
    # In this order: a log that another process has just begun stands beside its file.
    if path.with_name(path.name + "-wal").exists() and not path.exists():
        raise StoreError(
            f"{path}: is missing, but its write-ahead log is there; restore the file, or move the log away"
        )
    draft = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    try:
        os.close(os.open(draft, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
        with contextlib.closing(_connect(draft, "rw")) as connection:
            _lay_out(connection)
            connection.execute("PRAGMA journal_mode = WAL")
        with contextlib.suppress(FileExistsError):  # another process was faster: its file is as good
            os.link(draft, path)
        _sync_directory(path.parent)
    finally:
        draft.unlink(missing_ok=True)


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _vet(path: Path, connection: sqlite3.Connection) -> None:
    """Refuse what is not a whole database of this version."""
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version != VERSION:
        raise StoreError(f"{path}: schema version {version}; this program knows {VERSION}")
    with contextlib.closing(sqlite3.connect(":memory:", isolation_level=None)) as model:
        _lay_out(model)
        if connection.execute(LAYOUT).fetchall() != model.execute(LAYOUT).fetchall():
            raise StoreError(f"{path}: its tables are not those of schema version {VERSION}")
    (finding,) = connection.execute("PRAGMA integrity_check(1)").fetchone()
    if finding != "ok":
        raise StoreError(f"{path}: is damaged: {finding}")
    if connection.execute("SELECT count(*) FROM revision").fetchone() != (1,):
        raise StoreError(f"{path}: has no revision")


class SqliteStore:
    """The store of one state directory. Methods block for at most a few milliseconds, or the busy timeout under contention."""

    def __init__(self, path: Path) -> None:
        """Open, creating the file where there is none; its directory must exist. Raises StoreError for anything that is not this schema."""
        self._path = path
        self._newest = 0
        self._lock = threading.Lock()  # one connection, several threads; never held on the event loop
        with _translated(path):
            if not path.exists():
                _create(path)
            path.chmod(0o600)  # -wal and -shm are made by sqlite with the permissions of the file
            self._connection = _connect(path, "rw")
            try:
                _vet(path, self._connection)
                self._identity = self._stat()
            except BaseException:
                self._connection.close()
                raise

    def _stat(self) -> tuple[int, int]:
        found = self._path.stat()
        return found.st_dev, found.st_ino

    @contextlib.contextmanager
    def _read(self) -> Iterator[sqlite3.Connection]:
        with self._lock, _translated(self._path):
            # A removed or exchanged file can still be read and written through our connection, but nobody else would ever see it.
            if self._stat() != self._identity:
                raise StoreError(f"{self._path}: was exchanged while in use; restart to use the new file")
            yield self._connection

    @contextlib.contextmanager
    def _write(self, *, bump: bool = True) -> Iterator[sqlite3.Connection]:
        """One transaction; policy writes bump the revision within it, and go on to the main file.

        So a backup or a crash that loses the write-ahead log loses no brake.
        """
        with self._read() as connection:
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
                if bump:
                    self._advance(connection.execute("UPDATE revision SET value = value + 1 RETURNING value"))
                connection.execute("COMMIT")
            except BaseException:
                if connection.in_transaction:  # sqlite ends it by itself after some faults, such as a full disk
                    connection.execute("ROLLBACK")
                raise
            if bump:
                with contextlib.suppress(sqlite3.Error):  # the commit stands; the next write tries again
                    connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()

    def _advance(self, found: sqlite3.Cursor) -> int:
        """The revision that was found. One that went back means that an older state was put in place: nothing of it is used or added to."""
        value = int(found.fetchone()[0])
        if value < self._newest:
            raise StoreError(
                f"{self._path}: went back from revision {self._newest} to {value}; restart to use it as it is"
            )
        self._newest = value
        return value

    def revision(self) -> int:
        """Grows with every policy write of any process. Raises StoreError when it went back."""
        with self._read() as connection:
            return self._advance(connection.execute("SELECT value FROM revision"))

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
        """Release an open brake. Raises KeyError for an unknown or already released one, ValueError for a time that means "open"."""
        if at < 1:
            raise ValueError(f"a brake cannot be released at {at}")
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
            return tuple(_declared(row) for row in connection.execute("SELECT * FROM declared ORDER BY model"))

    def declare(self, record: Declared, *, replacing: Declared | EllipsisType | None = ...) -> None:
        """Insert or replace the declared record of a model. Raises KeyError when the one there is not ``replacing``."""
        row = (
            record.model,
            record.level.deployment,
            record.level.security,
            record.declared_by,
            record.declared,
            record.basis,
        )
        with self._write() as connection:
            found = connection.execute("SELECT * FROM declared WHERE model = ?", (record.model,)).fetchone()
            if replacing is not ... and replacing != (_declared(found) if found else None):
                raise KeyError(record.model)
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


def _declared(row: tuple[str, int, int, str, int, str]) -> Declared:
    model, first, second, by, at, basis = row
    return Declared(model, Level(first, second), by, at, basis)
