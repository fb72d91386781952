"""The store seam: shared state of all replicas of one state directory (or, later, of a fleet).

Methods block; callers on the event loop run them in a thread. Every write bumps ``revision`` so that other replicas notice.
Faults are ``StoreError``; no sqlite3 or redis error leaves the room.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import EllipsisType
from typing import Protocol

from gateway.terms import Level


class StoreError(Exception):
    """The store cannot be read or written."""


@dataclass(frozen=True, slots=True)
class Brake:
    """A raise or halt by one person, in force until released. Times are UTC epoch seconds."""

    id: str
    model: str  # canonical name
    level: Level
    reason: str
    owner: str
    opened: int
    released: int = 0
    released_by: str = ""
    release_reason: str = ""


@dataclass(frozen=True, slots=True)
class Declared:
    """A provisional assignment record "declared by the operator" (rule 4 keeps the stricter of stored and given)."""

    model: str
    level: Level
    declared_by: str
    declared: int
    basis: str = "declared by the operator"


@dataclass(frozen=True, slots=True)
class StoredRule:
    """A rule added at run time, as canonical JSON of its published form."""

    id: str
    body: str
    added_by: str
    added: int


@dataclass(frozen=True, slots=True)
class Head:
    """The last row of a ledger chain."""

    replica: str
    sequence: int
    digest: str


class Store(Protocol):
    """Brakes, declared records, run-time rules and ledger heads. Implementations share ``tests/support/store_conformance.py``."""

    def revision(self) -> int:
        """A number that grows with every policy write (not with heads)."""

    def open_brakes(self) -> tuple[Brake, ...]: ...

    def all_brakes(self) -> tuple[Brake, ...]: ...

    def add_brake(self, brake: Brake) -> None: ...

    def release_brake(self, brake_id: str, *, by: str, reason: str, at: int) -> Brake:
        """Raises KeyError for an unknown or already released brake."""

    def declared(self) -> tuple[Declared, ...]: ...

    def declare(self, record: Declared, *, replacing: Declared | EllipsisType | None = ...) -> None:
        """Insert or replace the declared record of a model.

        ``replacing``: what the caller has seen there (None: nothing). Raises KeyError when it is no longer so, and changes nothing: two
        processes that start at once cannot lower each other's level. Without it, whatever is there is replaced.
        """

    def rules(self) -> tuple[StoredRule, ...]: ...

    def add_rule(self, rule: StoredRule) -> None:
        """Raises KeyError when the id is taken."""

    def remove_rule(self, rule_id: str) -> None:
        """Raises KeyError when there is no such rule."""

    def head(self, replica: str) -> Head | None: ...

    def set_head(self, head: Head) -> None: ...

    def close(self) -> None: ...
