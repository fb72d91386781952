"""A ledger in memory with the real interface: rows are kept, and failures happen when asked for."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from gateway.ledger.base import Field, Kind, LedgerError
from gateway.ledger.rows import RESERVED, RowInvalid, canonical


class MemoryReceipt:
    """Resolves at once, fails, or waits for ``MemoryLedger.disk``."""

    def __init__(self, error: LedgerError | None, disk: asyncio.Event) -> None:
        self._error, self._disk = error, disk

    async def written(self) -> None:
        """At once."""
        if self._error is not None:
            raise self._error

    async def durable(self) -> None:
        """Once the disk is there."""
        await self._disk.wait()
        await self.written()


class MemoryLedger:
    """Rows as (kind, fields), in order. ``broken`` makes every row fail; clear ``disk`` to keep rows from becoming durable."""

    def __init__(self) -> None:
        self.rows: list[tuple[Kind, dict[str, Field]]] = []
        self.broken = False
        self.refusing = False
        self.accepting = True
        self.disk = asyncio.Event()
        self.disk.set()
        self._closed = False

    @property
    def writable(self) -> bool:
        """Whether rows are taken."""
        return not (self.broken or self.refusing or self._closed)

    def append(self, kind: Kind, fields: Mapping[str, Field]) -> MemoryReceipt:
        """Keep a row."""
        if self.refusing or self._closed:
            raise LedgerError("the ledger is closed")
        if RESERVED & fields.keys():
            raise RowInvalid("reserved keys")
        canonical(fields)
        if self.broken:
            return MemoryReceipt(LedgerError("no space left"), self.disk)
        self.rows.append((kind, dict(fields)))
        return MemoryReceipt(None, self.disk)

    async def close(self) -> None:
        """No more rows."""
        self._closed = True

    def of(self, kind: Kind) -> list[dict[str, Field]]:
        """The rows of one kind."""
        return [fields for found, fields in self.rows if found is kind]
