"""Which connection carries the next exchange: reuse newest first, open within a limit, make the rest wait in a bounded line.

``busy`` counts leases; idle connections stand by origin, oldest first. Busy and idle together never exceed the limit: where a new
connection would, the oldest idle one of another origin goes.
"""

from __future__ import annotations

import asyncio
import errno
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import httpx

from gateway.upstream.connection import Connection

Origin = tuple[str, str, int]  # scheme, host, port
Opener = Callable[[Origin], Awaitable[Connection]]
_LAST_WORDS = 1.0  # seconds that closing waits for the loop to report connections as lost


@dataclass(frozen=True, slots=True)
class PoolLimits:
    """Bounds of a pool. ``idle`` seconds should lie under the keep-alive of the model server (uvicorn and llama.cpp: 5 s)."""

    connections: int = 2000
    waiters: int = 1000
    idle: float = 4.0


class Pool:
    """Connections of one event loop."""

    def __init__(self, limits: PoolLimits, opener: Opener) -> None:
        self._limits = limits
        self._open = opener
        self._idle: dict[Origin, deque[Connection]] = {}
        self._leased: dict[Connection, Origin] = {}
        self._busy = 0
        self._waiters: deque[asyncio.Future[None]] = deque()
        self._sweeper: asyncio.TimerHandle | None = None
        self._closed = False

    @property
    def idle(self) -> int:
        """How many connections stand idle."""
        return sum(len(line) for line in self._idle.values())

    @property
    def busy(self) -> int:
        """How many leases are out."""
        return self._busy

    async def lease(self, origin: Origin, wait: float | None, connect: float | None) -> Connection:
        """A usable connection, the newest idle one or a fresh one.

        ``wait`` bounds the time in line (httpx.PoolTimeout; at once when the line is full), ``connect`` that of connecting
        (httpx.ConnectTimeout). Raises httpx.ConnectError where no connection can be had.
        """
        await self._slot(wait)
        try:
            connection = self._reuse(origin) or await self._connect(origin, connect)
        except BaseException:  # whatever went wrong, the slot is not used
            self._free_slot()
            raise
        self._leased[connection] = origin
        return connection

    def give_back(self, connection: Connection) -> None:
        """The exchange on this connection is over, well or badly. To be called once for each lease."""
        origin = self._leased.pop(connection)
        if connection.finish() and not self._closed:
            loop = asyncio.get_running_loop()
            connection.idle_since = loop.time()
            self._idle.setdefault(origin, deque()).append(connection)
            if self._sweeper is None:
                self._sweeper = loop.call_later(self._limits.idle, self._sweep)
        self._free_slot()

    async def close(self) -> None:
        """Close every connection at once, idle or busy."""
        self._closed = True
        if self._sweeper is not None:
            self._sweeper.cancel()
        going = [*self._leased, *(connection for line in self._idle.values() for connection in line)]
        self._idle.clear()
        for connection in going:
            connection.abort()
        if going:
            await asyncio.wait([connection.lost for connection in going], timeout=_LAST_WORDS)

    async def _slot(self, wait: float | None) -> None:
        self._check_open()
        if self._busy < self._limits.connections:
            self._busy += 1
            return
        if len(self._waiters) >= self._limits.waiters:
            raise httpx.PoolTimeout("too many exchanges wait for a connection")
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiters.append(turn)
        try:
            async with asyncio.timeout(wait):
                await turn
        except TimeoutError as late:
            self._leave_line(turn)
            raise httpx.PoolTimeout("no connection became free in time") from late
        except BaseException:
            self._leave_line(turn)
            raise

    def _leave_line(self, turn: asyncio.Future[None]) -> None:
        """A waiter gives up. A slot that was handed to it in the same moment goes on to the next."""
        if turn in self._waiters:
            self._waiters.remove(turn)
        elif turn.done() and not turn.cancelled():
            self._free_slot()

    def _free_slot(self) -> None:
        while self._waiters:
            turn = self._waiters.popleft()
            if not turn.done():
                turn.set_result(None)  # the slot changes hands: the count stays
                return
        self._busy -= 1

    def _reuse(self, origin: Origin) -> Connection | None:
        line = self._idle.get(origin)
        oldest = asyncio.get_running_loop().time() - self._limits.idle
        while line:
            connection = line.pop()
            if connection.idle_since > oldest and connection.usable():
                return connection
            connection.abort()
        return None

    async def _connect(self, origin: Origin, limit: float | None) -> Connection:
        self._check_open()
        if self._busy + self.idle > self._limits.connections:
            self._evict()
        try:
            async with asyncio.timeout(limit):
                connection = await self._open(origin)
        except TimeoutError as late:
            raise httpx.ConnectTimeout("the model server did not accept the connection in time") from late
        except OSError as fault:
            if fault.errno in {errno.EMFILE, errno.ENFILE}:  # ours to bear, and over soon: the sender may try again
                raise httpx.PoolTimeout("no file descriptor is left for a connection") from fault
            # refused, unreachable, unknown host, bad certificate
            raise httpx.ConnectError(f"the model server cannot be reached: {type(fault).__name__}") from fault

        if self._closed:
            connection.abort()
            self._check_open()
        return connection

    def _check_open(self) -> None:
        if self._closed:
            raise httpx.ConnectError("the transport is closed")

    def _evict(self) -> None:
        lines = [line for line in self._idle.values() if line]
        min(lines, key=lambda line: line[0].idle_since).popleft().abort()

    def _sweep(self) -> None:
        loop = asyncio.get_running_loop()
        self._sweeper = None
        oldest = loop.time() - self._limits.idle
        for line in self._idle.values():
            while line and line[0].idle_since <= oldest:
                line.popleft().abort()
        waiting = [line[0].idle_since for line in self._idle.values() if line]
        if waiting:
            self._sweeper = loop.call_at(min(waiting) + self._limits.idle, self._sweep)
