"""The ledger seam: where decisions are recorded before they take effect (design rule 5)."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Protocol

Field = str | int


class Kind(StrEnum):
    """What a row records."""

    START = "start"  # a process began: version, policy digest
    INTENT = "intent"  # written before anything is forwarded
    OUTCOME = "outcome"  # how an exchange ended; also refused, broken, cut and abandoned ones
    REFUSALS = "refusals"  # framing refusals and unknown routes: one row per reason and second, with a count
    POLICY = "policy"  # a new snapshot is in force
    CHANGE = "change"  # an operator's act: brake, release, rule, screen
    PRUNED = "pruned"  # a segment is about to be taken away: what it held and why
    SHIPPED = "shipped"  # a segment was copied elsewhere and the copy verified
    COVER = (
        "cover"  # before the first of them is forwarded or answered: exchanges of one second that are recorded by count
    )
    SUMMARY = "summary"  # the counts of covered exchanges
    GAP = "gap"  # rows could not be written for a while; none of what they would have recorded was done
    STOP = "stop"


class LedgerError(Exception):
    """A row could not be written; nothing may be done that it would have recorded."""


class Receipt(Protocol):
    """One row on its way to the disk. Both waits raise LedgerError when the row did not get there."""

    async def written(self) -> None:
        """Handed to the operating system: survives kill -9 of this process."""

    async def durable(self) -> None:
        """On disk (fdatasync)."""


class Sink(Protocol):
    """Accepts rows. Implementations share ``tests/support/ledger_conformance.py``."""

    @property
    def writable(self) -> bool:
        """False once a write failed, until one succeeds again; readiness follows it."""

    @property
    def accepting(self) -> bool:
        """False while the last room is kept for exchanges in flight and for what people do: new exchanges are refused."""

    def append(self, kind: Kind, fields: Mapping[str, Field]) -> Receipt:
        """Queue a row; never blocks. Keys are ASCII identifiers; values strings, or integers of at most 2**53 in size.

        Raises ValueError for other values (a fault of ours), LedgerError when the queue is full or the sink is closed.
        """

    async def close(self) -> None:
        """Write what is queued, sync, free the files."""
