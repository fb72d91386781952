"""Where a body is parsed: in place when that is a matter of a millisecond, in a parser process otherwise.

Fails closed: a process that is killed, hangs or answers nonsense costs the requests that it had and nothing else; they are refused
with 503, it is ended, and a fresh one is started when next needed, with a pause that doubles while it goes on failing.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from gateway.clock import Clock
from gateway.errors import BadRequest, SafeguardUnavailable
from gateway.exchange import Exchange
from gateway.parsing.frames import Ask
from gateway.parsing.process import Process, ProcessFailed, start
from gateway.parsing.weight import light
from gateway.wire.base import Dialect, WireLimits

ONE_TURN_BYTES = 32 * 1024
REASONS = ("hung", "killed", "nonsense", "not_started")


@dataclass(frozen=True, slots=True)
class Patience:
    """Seconds. ``turn``: for the bodies before it; ``work``: for a body itself, the start of a process included."""

    turn: float = 15.0
    work: float = 15.0
    pause: float = 0.1
    longest_pause: float = 5.0


class Parser:
    """One per gateway. ``failed`` is told the reason of every failure."""

    def __init__(
        self,
        clock: Clock,
        failed: Callable[[str], None],
        patience: Patience | None = None,
        starter: Callable[[], Awaitable[Process]] = start,
    ) -> None:
        self._clock, self._failed, self._starter = clock, failed, starter
        self._patience = patience or Patience()
        self._process: Process | None = None
        self._turn = asyncio.Lock()  # a process parses one body at a time; the others wait in order
        self._works: set[asyncio.Task[Exchange]] = set()
        self._numbers = itertools.count(1)
        self._pause = 0.0
        self._again = 0.0

    @property
    def pid(self) -> int | None:
        """The process that runs now."""
        return self._process.pid if self._process is not None else None

    async def parse(self, dialect: Dialect, body: bytes, limits: WireLimits) -> Exchange:
        """Parse a body. Raises BadRequest, TooLarge, SafeguardUnavailable (retryable)."""
        if light(body):
            return await self._in_place(dialect, body, limits)
        # A task of its own: a client that leaves must not cost the process, which others need, nor leave it in mid-answer.
        work = asyncio.create_task(self._queued(Ask(next(self._numbers), dialect.id, limits, len(body)), body))
        self._works.add(work)
        work.add_done_callback(self._over)
        try:
            return await asyncio.shield(work)
        except TimeoutError as error:
            raise SafeguardUnavailable("the body could not be parsed in time") from error
        except ProcessFailed as error:
            raise SafeguardUnavailable("the body could not be parsed") from error

    async def _in_place(self, dialect: Dialect, body: bytes, limits: WireLimits) -> Exchange:
        """Weighing, parsing and what comes after are turns of their own, where each takes its part of a millisecond."""
        if len(body) <= ONE_TURN_BYTES:
            return dialect.parse(body, limits)
        await asyncio.sleep(0)
        exchange = dialect.parse(body, limits)
        await asyncio.sleep(0)
        return exchange

    def _over(self, work: asyncio.Task[Exchange]) -> None:
        self._works.discard(work)
        if not work.cancelled():
            work.exception()  # seen, also where nobody waits any more

    async def _queued(self, ask: Ask, body: bytes) -> Exchange:
        async with asyncio.timeout(self._patience.turn):
            await self._turn.acquire()
        try:
            return await self._elsewhere(ask, body)
        finally:
            self._turn.release()

    async def _elsewhere(self, ask: Ask, body: bytes) -> Exchange:
        try:
            async with asyncio.timeout(self._patience.work):
                if self._process is None:
                    self._process = await self._begin()
                exchange = await self._process.ask(ask, body)
        except BadRequest:
            self._pause = 0.0
            raise
        except TimeoutError:
            # What it would still say is nobody's answer, and must not become the next one's.
            await self._end("hung")
            raise
        except ProcessFailed as error:
            await self._end(error.reason)
            raise
        self._pause = 0.0
        return exchange

    async def _begin(self) -> Process:
        if self._clock.monotonic() < self._again:
            raise ProcessFailed("not_started")
        return await self._starter()

    async def _end(self, reason: str) -> None:
        process, self._process = self._process, None
        if process is not None or self._clock.monotonic() >= self._again:  # not what was refused during a pause
            self._back_off(reason)
        if process is not None:
            await process.kill()

    def _back_off(self, reason: str) -> None:
        """The first restart is immediate; while it goes on failing, the pauses double."""
        self._failed(reason)
        self._again = self._clock.monotonic() + self._pause
        self._pause = min(max(self._patience.pause, 2 * self._pause), self._patience.longest_pause)

    async def close(self) -> None:
        """End the process, and whatever still waits for it."""
        works = tuple(self._works)
        for work in works:
            work.cancel()
        await asyncio.gather(*works, return_exceptions=True)
        process, self._process = self._process, None
        if process is not None:
            await process.kill()
