"""A store in memory with the real interface; ``store_conformance`` holds it to the same promises as the one on disk."""

from __future__ import annotations

from dataclasses import replace
from types import EllipsisType

from gateway.state.base import Brake, Declared, Head, StoredRule, StoreError


class FakeStore:
    """Keeps everything until it is closed. Set ``fault`` to have every call raise StoreError."""

    def __init__(self) -> None:
        self.fault = ""
        self._revision = 0
        self._brakes: dict[str, Brake] = {}
        self._declared: dict[str, Declared] = {}
        self._rules: dict[str, StoredRule] = {}
        self._heads: dict[str, Head] = {}

    def _check(self) -> None:
        if self.fault:
            raise StoreError(self.fault)

    def revision(self) -> int:
        """Grows with every policy write."""
        self._check()
        return self._revision

    def open_brakes(self) -> tuple[Brake, ...]:
        """Brakes in force, oldest first."""
        return tuple(brake for brake in self.all_brakes() if not brake.released)

    def all_brakes(self) -> tuple[Brake, ...]:
        """Every brake there ever was, oldest first."""
        self._check()
        return tuple(sorted(self._brakes.values(), key=lambda brake: (brake.opened, brake.id)))

    def add_brake(self, brake: Brake) -> None:
        """Raises KeyError when the id is taken."""
        self._check()
        if brake.id in self._brakes:
            raise KeyError(brake.id)
        self._brakes[brake.id] = replace(brake, released=0, released_by="", release_reason="")
        self._revision += 1

    def release_brake(self, brake_id: str, *, by: str, reason: str, at: int) -> Brake:
        """Raises KeyError for an unknown or already released brake, ValueError for a time that means "open"."""
        if at < 1:
            raise ValueError(f"a brake cannot be released at {at}")
        self._check()
        if self._brakes[brake_id].released:
            raise KeyError(brake_id)
        brake = replace(self._brakes[brake_id], released=at, released_by=by, release_reason=reason)
        self._brakes[brake_id] = brake
        self._revision += 1
        return brake

    def declared(self) -> tuple[Declared, ...]:
        """Declared records, by model."""
        self._check()
        return tuple(self._declared[model] for model in sorted(self._declared))

    def declare(self, record: Declared, *, replacing: Declared | EllipsisType | None = ...) -> None:
        """Insert or replace the declared record of a model. Raises KeyError when the one there is not ``replacing``."""
        self._check()
        if replacing is not ... and replacing != self._declared.get(record.model):
            raise KeyError(record.model)
        self._declared[record.model] = record
        self._revision += 1

    def rules(self) -> tuple[StoredRule, ...]:
        """Rules added at run time, by id."""
        self._check()
        return tuple(self._rules[rule_id] for rule_id in sorted(self._rules))

    def add_rule(self, rule: StoredRule) -> None:
        """Raises KeyError when the id is taken."""
        self._check()
        if rule.id in self._rules:
            raise KeyError(rule.id)
        self._rules[rule.id] = rule
        self._revision += 1

    def remove_rule(self, rule_id: str) -> None:
        """Raises KeyError when there is no such rule."""
        self._check()
        del self._rules[rule_id]
        self._revision += 1

    def head(self, replica: str) -> Head | None:
        """The head of a ledger chain, if there is one."""
        self._check()
        return self._heads.get(replica)

    def set_head(self, head: Head) -> None:
        """Move a head. Not a policy write."""
        self._check()
        self._heads[head.replica] = head

    def close(self) -> None:
        """From now on every call raises StoreError."""
        self.fault = "closed"
