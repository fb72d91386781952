"""One connection to the model server: an asyncio protocol that carries one exchange at a time.

State is four facts: the transport, the reader of the response under way (None while idle), the failure that ended the exchange, and
whether the request has gone out whole. Whoever waits, waits for "something changed" and looks again.
"""

from __future__ import annotations

import asyncio
import select
from typing import cast

import httpx

from gateway.upstream.response import ResponseReader

HIGH_WATER = 64 * 1024  # buffered body bytes beyond which reading pauses; taking the buffer empties it and resumes
_FOREVER = float("inf")


class TotalTimeout(httpx.ReadTimeout):
    """The whole exchange took longer than it may."""


class Connection(asyncio.Protocol):
    """Used by one task at a time; ``abort`` may come from any task of the loop and ends every wait."""

    __slots__ = (
        "_deadline",
        "_failure",
        "_loop",
        "_poll",
        "_reader",
        "_reading_paused",
        "_sent",
        "_timer",
        "_timer_at",
        "_total_at",
        "_transport",
        "_waiter",
        "_writing_paused",
        "idle_since",
        "lost",
    )

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._transport: asyncio.Transport | None = None
        self._poll = select.poll()
        self._reader: ResponseReader | None = None
        self._failure: httpx.TransportError | None = None
        self._sent = True
        self._reading_paused = False
        self._writing_paused = False
        self._waiter: asyncio.Future[None] | None = None
        self._deadline = self._timer_at = self._total_at = _FOREVER
        self._timer: asyncio.TimerHandle | None = None
        self.idle_since = 0.0
        self.lost: asyncio.Future[None] = loop.create_future()

    # What the loop tells us.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's transports are not subclasses of asyncio's
        self._poll.register(transport.get_extra_info("socket").fileno(), select.POLLIN)

    def data_received(self, data: bytes) -> None:
        if self._reader is None:
            self.abort()  # nobody asked: such bytes must never become the answer to a later request
            return
        try:
            self._reader.feed(data)
        except httpx.RemoteProtocolError as fault:
            self._fail(fault)
        else:
            if self._reader.buffered > HIGH_WATER:
                self._pause()
        self._wake()

    def eof_received(self) -> None:
        self._ended("the model server closed the connection")

    def connection_lost(self, exc: Exception | None) -> None:
        self._ended("the connection to the model server was lost", clean=exc is None)
        self._transport = None
        if self._timer is not None:
            self._timer.cancel()
        self.lost.set_result(None)

    def pause_writing(self) -> None:
        self._writing_paused = True

    def resume_writing(self) -> None:
        self._writing_paused = False
        self._wake()

    def _ended(self, why: str, *, clean: bool = True) -> None:
        if self._reader is None or not (clean and self._reader.end()):
            self._fail(httpx.ReadError(why))
        self._wake()

    def _fail(self, failure: httpx.TransportError) -> None:
        if self._failure is None and not (self._reader is not None and self._reader.complete):
            self._failure = failure
        self._drop()

    def _drop(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    # What the pool asks.

    def usable(self) -> bool:
        """True when an idle connection is open and silent.

        The socket is asked directly: what the peer has sent or closed since the loop last looked would otherwise be found only after
        a request went out. A request is therefore never put on a connection that is known to be dead, and never needs sending twice.
        """
        return self._transport is not None and not self._transport.is_closing() and not self._poll.poll(0)

    def now(self) -> float:
        """The loop's time."""
        return self._loop.time()

    def begin(self, total_at: float) -> None:
        """Start an exchange that must be over at ``total_at`` (loop time)."""
        self._reader = ResponseReader()
        self._failure = None
        self._sent = False
        self._total_at = total_at

    def finish(self) -> bool:
        """End the exchange. True when the connection may carry another one, else it is closed at once."""
        reader, self._reader = self._reader, None
        transport = self._transport
        if (
            reader is None
            or transport is None
            or not (self._sent and reader.complete and reader.keep_alive and not reader.tainted)
            or transport.is_closing()
            or transport.get_write_buffer_size() > 0
        ):
            self.abort()
            return False
        self._resume()
        return True

    def abort(self) -> None:
        """Close at once, whatever is under way; every wait ends with httpx.ReadError."""
        if self._failure is None:
            self._failure = httpx.ReadError("the connection was closed on our side")
        self._reader = None
        self._drop()
        self._wake()

    # What the exchange asks. All raise subclasses of httpx.TransportError.

    async def send(self, data: bytes, limit: float | None) -> bool:
        """Write, waiting at most ``limit`` seconds for room. False when the response has begun, so that sending on makes no sense."""
        if self._transport is None or self._transport.is_closing() or self._settled():
            return False
        self._transport.write(data)
        if self._writing_paused:
            deadline = self._within(limit)
            while self._writing_paused and not self._settled():
                await self._change(deadline, httpx.WriteTimeout)
        return not self._settled()

    def sent(self) -> None:
        """The request has been handed over whole."""
        self._sent = True

    def _settled(self) -> bool:
        return self._failure is not None or self._reader is None or self._reader.head_done

    async def head(self, limit: float | None) -> tuple[int, list[tuple[bytes, bytes]]]:
        """Status and headers of the final response, within ``limit`` seconds."""
        deadline = self._within(limit)
        while not self._settled():
            await self._change(deadline, httpx.ReadTimeout)
        reader = self._reader
        if reader is None or not reader.head_done:
            raise self._why()
        return reader.status, reader.headers

    async def read(self, limit: float | None) -> bytes:
        """The next bytes of the body, waiting at most ``limit`` seconds; empty at its proper end."""
        deadline = self._within(limit)
        if self._loop.time() >= self._total_at:
            raise TotalTimeout("a deadline of the exchange was missed")
        while (reader := self._reader) is not None and not reader.buffered:
            if reader.complete:
                return b""
            if self._failure is not None:
                break
            self._resume()
            await self._change(deadline, httpx.ReadTimeout)
        if reader is None or not reader.buffered:
            raise self._why()
        data = reader.take()
        self._resume()
        return data

    async def rest(self, seconds: float) -> None:
        """Leave what comes in to the kernel for a while, so that it can be read at once; not where the end is in already."""
        if self._reader is not None and not self._reader.complete and self._failure is None:
            self._pause()
            await asyncio.sleep(seconds)

    def _why(self) -> httpx.TransportError:
        return self._failure or httpx.ReadError("no exchange is under way")

    def _pause(self) -> None:
        if not self._reading_paused and self._transport is not None and not self._transport.is_closing():
            self._reading_paused = True
            self._transport.pause_reading()

    def _resume(self) -> None:
        if self._reading_paused:
            self._reading_paused = False
            if self._transport is not None and not self._transport.is_closing():
                self._transport.resume_reading()

    # Deadlines: one timer for each connection, moved only when a nearer deadline comes; an early ring is re-armed.

    def _within(self, limit: float | None) -> float:
        return self._total_at if limit is None else min(self._loop.time() + limit, self._total_at)

    async def _change(self, deadline: float, missed: type[httpx.TimeoutException]) -> None:
        """Wait until something changes; raises when ``deadline`` has passed."""
        now = self._loop.time()
        if now >= deadline:
            raise (TotalTimeout if now >= self._total_at else missed)("a deadline of the exchange was missed")
        self._deadline = deadline
        if deadline < self._timer_at:
            self._arm(deadline)
        self._waiter = self._loop.create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None
            self._deadline = _FOREVER

    def _arm(self, when: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer_at = when
        self._timer = self._loop.call_at(when, self._ring)

    def _ring(self) -> None:
        self._timer, self._timer_at = None, _FOREVER
        if self._deadline <= self._loop.time():
            self._wake()
        elif self._deadline < _FOREVER:
            self._arm(self._deadline)
