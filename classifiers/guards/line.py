"""The line to a guard's servers: which one is asked, when a second one is asked too, and which are left alone. No I/O of its own.

A call goes to one server. When no answer has come within the 95th percentile of the recent ones, a second is asked as well
(another one where there is one) and the first answer counts; a server that fails is also replaced by another, once. Such
second requests are at most a tenth of all, so that a slow guard is not made slower by them.

A server that was absent or late three times in a row is left alone for a pause (1 s doubling to 30 s), after which one call
tries it again. What one text causes (a refusal of it, nonsense about it) does not count: a sender could otherwise take the
guard away from everybody else.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from classifiers.base import ClassifierError, ClassifierInvalid, ClassifierTimeout, ClassifierUnavailable, Loss
from classifiers.guards.calls import Call

FAILURES: Final = 3
FIRST_PAUSE: Final = 1.0
LONGEST_PAUSE: Final = 30.0
REMEMBERED: Final = 64
ENOUGH: Final = 16  # answers before their percentile means something
PERCENTILE: Final = 0.95
SECOND_SHARE: Final = 0.1
MOST_SAVED: Final = 10.0

Send = Callable[[str, Call], Awaitable[bytes]]


class Server:
    """One server's recent history."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._failures = 0
        self._pause = FIRST_PAUSE
        self._again_at = 0.0

    @property
    def resting(self) -> bool:
        """Whether it failed so often that only trials go there."""
        return self._failures >= FAILURES

    def admits(self, now: float) -> bool:
        """Whether a call may go there now; after a pause one may, and the next pause begins with it."""
        if not self.resting:
            return True
        if now < self._again_at:
            return False
        self._pause = min(2 * self._pause, LONGEST_PAUSE)
        self._again_at = now + self._pause
        return True

    def answered(self) -> None:
        """It is there."""
        self._failures = 0

    def failed(self, now: float) -> None:
        """It was absent or late."""
        self._failures += 1
        if self._failures == FAILURES:
            self._pause = FIRST_PAUSE
            self._again_at = now + FIRST_PAUSE


class Line:
    """See the module. Belongs to one event loop."""

    def __init__(
        self, urls: Sequence[str], send: Send, seconds: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """``send``: raises ClassifierUnavailable or ClassifierInvalid; ``seconds``: for one request to one server."""
        self.servers = tuple(map(Server, urls))
        self.losses = dict.fromkeys(Loss, 0)
        self._send, self._seconds, self._clock = send, seconds, clock
        self._next = 0
        self._times: deque[float] = deque(maxlen=REMEMBERED)
        self._saved = MOST_SAVED

    async def ask(self, call: Call) -> bytes:
        """The first answer. Raises ClassifierUnavailable, ClassifierTimeout, ClassifierInvalid."""
        first = self._pick(())
        if first is None:
            raise ClassifierUnavailable("every server of the guard is left alone after failures")
        self._saved = min(MOST_SAVED, self._saved + SECOND_SHARE)
        tasks = [asyncio.create_task(self._attempt(first, call))]
        try:
            await asyncio.wait(tasks, timeout=self.patience)
            if self._wants_second(tasks[0]) and (second := self._pick((first,), again=not tasks[0].done())) is not None:
                self._saved -= 1.0
                tasks.append(asyncio.create_task(self._attempt(second, call)))
            return await _first(tasks)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    @property
    def patience(self) -> float | None:
        """Seconds after which a second server is asked; None as long as too little is known."""
        if len(self._times) < ENOUGH:
            return None
        return sorted(self._times)[int(PERCENTILE * len(self._times))]

    def _wants_second(self, task: asyncio.Task[bytes]) -> bool:
        late_or_absent = not task.done() or isinstance(task.exception(), ClassifierUnavailable)
        return late_or_absent and self._saved >= 1.0

    def _pick(self, but: Sequence[Server], *, again: bool = False) -> Server | None:
        """The next server that may be asked, not one of ``but`` unless ``again`` and there is no other."""
        now = self._clock()
        turn = self._next
        self._next += 1
        order = [self.servers[(turn + step) % len(self.servers)] for step in range(len(self.servers))]
        for server in order:
            if server not in but and server.admits(now):
                return server
        return next((server for server in but if again and not server.resting), None)

    async def _attempt(self, server: Server, call: Call) -> bytes:
        began = self._clock()
        try:
            async with asyncio.timeout(self._seconds):
                reply = await self._send(server.url, call)
        except TimeoutError:
            self._lost(server, Loss.HUNG)
            raise ClassifierTimeout(f"no answer of the guard within {self._seconds} seconds") from None
        except ClassifierUnavailable:
            self._lost(server, Loss.DIED)
            raise
        except ClassifierInvalid:
            self.losses[Loss.REFUSED] += 1
            server.answered()
            raise
        server.answered()
        self._times.append(self._clock() - began)
        return reply

    def _lost(self, server: Server, loss: Loss) -> None:
        self.losses[loss] += 1
        server.failed(self._clock())


async def _first(tasks: Sequence[asyncio.Task[bytes]]) -> bytes:
    """What comes first; a failure only when nothing else can come."""
    waiting = set(tasks)
    failures: list[ClassifierError] = []
    while waiting:
        done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            try:
                return task.result()
            except ClassifierError as error:
                failures.append(error)
    raise failures[-1]
