"""A classifier over a guard model that runs behind a server; the only user of httpx in this package.

Texts are cut into spans that cover all of them, counted against the budget, and asked in batches, some at a time. Answers
become scores or errors: none that is not understood counts as harmless. ``PooledClassifier`` adds the cache of scores and
the caller's deadline. Requests go straight to httpx's transport: no redirects, no proxies from the environment.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import httpx

from classifiers.base import (
    ClassifierError,
    ClassifierInvalid,
    ClassifierUnavailable,
    Health,
    Loss,
    OverBudget,
    Scored,
    Window,
)
from classifiers.canaries import tell_apart, texts
from classifiers.guards.apis import api
from classifiers.guards.calls import Call
from classifiers.guards.line import Line
from classifiers.guards.spans import spans
from classifiers.guards.spec import Guard
from classifiers.job import check_scores
from classifiers.scoring import PooledClassifier
from classifiers.windows import encodable

REPLY_BYTES: Final = 4 << 20
WAITING: Final = 1024  # batches that may wait for their turn before more are refused
PLAN_ON_LOOP_CHARS: Final = 64 * 1024
RETRYABLE: Final = frozenset({408, 425, 429})  # besides 5xx: about the server, not about the text
IDLE_SECONDS: Final = 2.0  # servers close idle connections after 5 s, and a request must not meet that
CANARY_SECONDS: Final = 60.0


class RemoteClassifier(PooledClassifier):
    """A ``Classifier`` over a guard's servers."""

    def __init__(self, guard: Guard) -> None:
        self._guard = guard
        super().__init__(guard.card, self._connect, len(guard.urls))

    async def _connect(self) -> RemotePool:
        """Raises ClassifierUnavailable (try again later) or ClassifierArtefact (the canaries were not told apart)."""
        pool = RemotePool(self._guard)
        try:
            scored = await _canaries(pool, self._guard)
            await tell_apart(self._guard.card, self._guard.canaries, _known(scored), CANARY_SECONDS)
        except BaseException:
            await pool.close()
            raise
        return pool


async def _canaries(pool: RemotePool, guard: Guard) -> tuple[Scored, ...]:
    """Their scores. Raises ClassifierUnavailable for every failure: a server that still loads its model answers anything."""
    try:
        return await pool.run(texts(guard.canaries), guard.budget)
    except ClassifierError as error:
        raise ClassifierUnavailable(f"canaries: {error}") from error


async def _known(scored: tuple[Scored, ...]) -> tuple[Scored, ...]:
    return scored


@dataclass(frozen=True, slots=True)
class _Part:
    """One span of one message: which message, where, and its text."""

    message: int
    start: int
    end: int
    text: str


class RemotePool:
    """Asks the servers. See ``scoring.Pool``."""

    def __init__(self, guard: Guard) -> None:
        """Raises ClassifierUnavailable: the CA cannot be read."""
        self._guard = guard
        self._api = api(guard)
        self._transport = _transport(guard)
        self._line = Line(guard.urls, self._send, guard.seconds)
        self._turns = asyncio.Semaphore(guard.calls)
        self._waiting = 0
        self._closed = False

    @property
    def health(self) -> Health:
        """Servers that are not left alone after failures, of all."""
        servers = self._line.servers
        alive = 0 if self._closed else sum(not server.resting for server in servers)
        return Health(alive, len(servers), alive > 0, dict(self._line.losses))

    async def run(self, messages: Sequence[str], limit: int) -> tuple[Scored, ...]:
        """See ``scoring.Pool.run``. Raises ClassifierTimeout too: no server answered in time."""
        most = min(limit, self._guard.budget)
        if sum(map(len, messages)) > PLAN_ON_LOOP_CHARS:
            parts = await asyncio.to_thread(self._plan, messages, most)
        else:
            parts = self._plan(messages, most)
        size = self._api.batch
        batches = [parts[start : start + size] for start in range(0, len(parts), size)]
        if self._waiting + len(batches) > WAITING:
            raise ClassifierUnavailable("too many questions wait for the guard")
        self._waiting += len(batches)
        try:
            rows = await self._all(batches)
        finally:
            self._waiting -= len(batches)
        return _assemble(messages, parts, rows)

    async def close(self) -> None:
        """Close the connections."""
        self._closed = True
        await self._transport.aclose()

    def _plan(self, messages: Sequence[str], limit: int) -> list[_Part]:
        parts: list[_Part] = []
        for index, message in enumerate(map(encodable, messages)):
            try:
                found = spans(message, self._guard.window, self._guard.stride, limit - len(parts))
            except OverBudget:
                raise OverBudget(limit + 1, limit) from None
            parts += [_Part(index, start, end, message[start:end]) for start, end in found]
        return parts

    async def _all(self, batches: Sequence[Sequence[_Part]]) -> list[tuple[float, ...]]:
        """The rows of all batches in order. The first failure ends the others."""
        # One long text must not take every turn from short ones.
        own = asyncio.Semaphore(max(1, self._guard.calls // 2))
        tasks = [asyncio.ensure_future(self._batch(batch, own)) for batch in batches]
        try:
            return [row for rows in await asyncio.gather(*tasks) for row in rows]
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _batch(self, batch: Sequence[_Part], own: asyncio.Semaphore) -> list[tuple[float, ...]]:
        async with own, self._turns:
            if self._closed:
                raise ClassifierUnavailable("closed")
            calls = self._api.calls([part.text for part in batch])
            replies = [await self._line.ask(call) for call in calls]
            try:
                rows = self._api.read(replies, len(batch))
                return [check_scores(row, len(self._guard.columns)) for row in rows]
            except ClassifierInvalid:
                self._line.losses[Loss.NONSENSE] += 1
                raise

    async def _send(self, url: str, call: Call) -> bytes:
        """One request over HTTP. Raises ClassifierUnavailable, ClassifierInvalid (the server refuses this text)."""
        headers = {"content-type": "application/json", "accept": "application/json", "accept-encoding": "identity"}
        if self._guard.key:
            headers["authorization"] = f"Bearer {self._guard.key}"
        request = httpx.Request("POST", url + call.path, headers=headers, content=call.body)
        try:
            response = await self._transport.handle_async_request(request)
            try:
                return await _body(response)
            finally:
                await response.aclose()
        except (httpx.HTTPError, httpx.StreamError) as error:
            raise ClassifierUnavailable(f"the guard's server: {type(error).__name__}") from error


async def _body(response: httpx.Response) -> bytes:
    """The body of a success. Raises ClassifierUnavailable, ClassifierInvalid."""
    status = response.status_code
    if status >= 500 or status in RETRYABLE:
        raise ClassifierUnavailable(f"the guard's server answered {status}")
    if status != 200:
        raise ClassifierInvalid(f"the guard's server refused with {status}")
    content = bytearray()
    async for chunk in response.aiter_raw():
        content += chunk
        if len(content) > REPLY_BYTES:
            raise ClassifierInvalid(f"the guard's server answered more than {REPLY_BYTES} bytes")
    return bytes(content)


def _transport(guard: Guard) -> httpx.AsyncHTTPTransport:
    most = 2 * guard.calls
    limits = httpx.Limits(max_connections=most, max_keepalive_connections=most, keepalive_expiry=IDLE_SECONDS)
    try:
        context = ssl.create_default_context(cafile=guard.ca or None)
    except OSError as error:  # ssl.SSLError is one
        raise ClassifierUnavailable(
            f"the CA of the guard's server cannot be read: {error.strerror or error}"
        ) from error
    return httpx.AsyncHTTPTransport(verify=context, limits=limits, trust_env=False)


def _assemble(messages: Sequence[str], parts: Sequence[_Part], rows: Sequence[tuple[float, ...]]) -> tuple[Scored, ...]:
    """One result per message; its tokens are counted as bytes."""
    windows: list[list[Window]] = [[] for _ in messages]
    for part, row in zip(parts, rows, strict=True):
        windows[part.message].append(Window(part.start, part.end, row))
    return tuple(
        Scored(tuple(found), len(encodable(message).encode())) for message, found in zip(messages, windows, strict=True)
    )
