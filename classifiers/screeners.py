"""K screener processes as one pool: dispatch to the least loaded, one retry elsewhere, restarts with jittered pauses.

A long call is cut into shares of its windows, one per process at most; each process plans the whole text (about a hundredth of
the work), so that the budget is counted over all of it before any share is inferred. Answers are put together in order.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import secrets
import socket
import subprocess
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from classifiers.artefacts import Canaries, load_test
from classifiers.base import (
    Card,
    ClassifierArtefact,
    ClassifierError,
    ClassifierInvalid,
    ClassifierUnavailable,
    Health,
    Loss,
    OverBudget,
    Scored,
)
from classifiers.canaries import tell_apart, texts
from classifiers.embedded import NO_LIMIT, START_SECONDS
from classifiers.frames import Ask, frame, pack
from classifiers.job import Share, Sweep, assemble
from classifiers.link import Link, Question, Work
from classifiers.scoring import CACHED_WINDOWS, HASH_ON_LOOP_CHARS, PooledClassifier
from classifiers.screener import inherited, launch

SHARE_CHARS: Final = 4096  # about 64 windows, a quarter of a second
CALL_WEIGHT: Final = 256  # what a call costs besides its characters
MOST_CALLS: Final = 256
MOST_CHARS: Final = 1 << 26
REAP_SECONDS: Final = 10.0

Command = Callable[[int], list[str]]  # the command line of a screener whose end of the socket is this descriptor


@dataclass(frozen=True, slots=True)
class Pace:
    """Seconds between beats; beats of silence until its work is asked elsewhere, and until it is killed; pauses before a restart."""

    beat: float = 0.25
    doubt: int = 2
    hung: int = 60
    first_pause: float = 0.1
    longest_pause: float = 30.0
    steady: float = 30.0  # who lived longer starts again with the first pause

    def pause(self, failures: int) -> float:
        """Doubling from the first to the longest, give or take a half, so that replicas do not restart in step."""
        pause = min(self.longest_pause, self.first_pause * 2 ** min(failures - 1, 30))
        return float(pause * (0.5 + secrets.randbelow(1000) / 1000))


class Screeners:
    """A pool of processes. ``open`` starts them; everything belongs to that loop, which must be the main thread's on Linux:
    the kernel ends a screener when the *thread* that started it ends.
    """

    def __init__(self, card: Card, canaries: Canaries, command: Command, count: int, pace: Pace | None = None) -> None:
        self._card = card
        self._canaries = canaries
        self._command = command
        self._count = count
        self._pace = pace or Pace()
        self._links: dict[int, Link] = {}
        self._processes: dict[int, subprocess.Popen[bytes]] = {}
        self._losses = dict.fromkeys(Loss, 0)
        self._ids = itertools.count(1)
        self._calls = 0
        self._chars = 0
        self._tasks: list[asyncio.Task[None]] = []
        self._someone = asyncio.Event()
        self._closed = False

    @property
    def health(self) -> Health:
        """See ``Classifier.health``."""
        return Health(len(self._links), self._count, bool(self._links), dict(self._losses))

    @property
    def pids(self) -> tuple[int, ...]:
        """The processes that run, those that are still loading included."""
        return tuple(process.pid for process in self._processes.values())

    async def open(self, seconds: float = START_SECONDS) -> None:
        """Start the processes; returns when every one has been tried and one takes work at least.

        Raises ClassifierArtefact (none has the pinned weights, or tells the canaries apart), ClassifierUnavailable (none came up).
        """
        loop = asyncio.get_running_loop()
        first: list[asyncio.Future[ClassifierError | None]] = [loop.create_future() for _ in range(self._count)]
        self._tasks = [loop.create_task(self._keep(slot, tried, seconds)) for slot, tried in enumerate(first)]
        self._tasks.append(loop.create_task(self._beat()))
        try:
            async with asyncio.timeout(seconds):
                _check_first(await asyncio.gather(*first))
                await self._someone.wait()
        except TimeoutError:
            if not self._links:
                await self.close()
                raise ClassifierUnavailable(f"no screener came up within {seconds} seconds") from None
        except BaseException:
            await self.close()
            raise

    async def run(self, messages: Sequence[str], limit: int) -> tuple[Scored, ...]:
        """See ``Pool.run``."""
        if not self._links:
            raise ClassifierUnavailable("closed" if self._closed else "no screener is up")
        chars = sum(map(len, messages))
        if self._calls >= MOST_CALLS or self._chars + chars > MOST_CHARS:
            raise ClassifierUnavailable("the queue is full")
        self._calls += 1
        self._chars += chars
        try:
            return await self._run(messages, limit, chars)
        finally:
            self._calls -= 1
            self._chars -= chars

    async def close(self) -> None:
        """End the processes. A screener has nothing to finish: what was asked of it fails here."""
        self._closed = True
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    # Dispatch

    async def _run(self, messages: Sequence[str], limit: int, chars: int) -> tuple[Scored, ...]:
        shares = min(len(self._links), 1 + chars // SHARE_CHARS)
        numbers = [next(self._ids) for _ in range(shares)]
        if chars > HASH_ON_LOOP_CHARS:
            works = await asyncio.to_thread(_works, numbers, messages, limit, chars)
        else:
            works = _works(numbers, messages, limit, chars)
        if shares == 1:
            return assemble(await self._answer(works[0]))
        tasks = [asyncio.ensure_future(self._answer(work)) for work in works]
        try:
            return assemble(joined(await asyncio.gather(*tasks)))
        finally:
            for task in tasks:
                task.cancel()

    async def _answer(self, work: Work) -> Sweep:
        """The answer of the least loaded screener; of another one too, once, when that one fails or falls silent."""
        link = self._pick(None)
        if link is None:
            raise ClassifierUnavailable("no screener is up")
        with asked(link, work) as first:
            await asyncio.wait((first.answer, first.doubt), return_when=asyncio.FIRST_COMPLETED)
            failure = first.answer.exception() if first.answer.done() else None
            other = self._pick(link)
            if other is None or isinstance(failure, OverBudget) or (first.answer.done() and failure is None):
                return await first.answer
            with asked(other, work) as second:
                return await _either(first, second)

    def _pick(self, without: Link | None) -> Link | None:
        """The least loaded of those that are not silent; of the silent ones only where there are no others."""
        links = [link for link in self._links.values() if link is not without and not link.ended.done()]
        return min(links, key=lambda link: (link.silent > self._pace.doubt, link.load), default=None)

    # Processes

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(self._pace.beat)
            for link in tuple(self._links.values()):
                link.beat(self._pace.doubt, self._pace.hung)

    async def _keep(self, slot: int, tried: asyncio.Future[ClassifierError | None], seconds: float) -> None:
        """Keep one process running for ever."""
        loop = asyncio.get_running_loop()
        failures = 0
        while True:
            began = loop.time()
            try:
                loss = await self._live(slot, tried, seconds)
            except ClassifierError as error:
                loss = _loss(error)
                if not tried.done():
                    tried.set_result(error)
            self._losses[loss] += 1
            failures = 1 if loop.time() - began > self._pace.steady else failures + 1
            await asyncio.sleep(self._pace.pause(failures))

    async def _live(self, slot: int, tried: asyncio.Future[ClassifierError | None], seconds: float) -> Loss:
        """One life of a process, from its start to why it ended. Raises ClassifierError when it does not come up."""
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        with ours, theirs:
            process = self._processes[slot] = _spawn(self._command(theirs.fileno()), theirs)
            theirs.close()
            try:
                return await self._serve(slot, ours, tried, seconds)
            finally:
                self._links.pop(slot, None)
                process.kill()
                with contextlib.suppress(subprocess.TimeoutExpired):  # stuck in the kernel: left to it
                    await asyncio.to_thread(process.wait, REAP_SECONDS)
                del self._processes[slot]

    async def _serve(
        self, slot: int, ours: socket.socket, tried: asyncio.Future[ClassifierError | None], seconds: float
    ) -> Loss:
        loop = asyncio.get_running_loop()
        _, link = await loop.create_unix_connection(lambda: Link(self._card, loop), sock=ours)
        try:
            await self._admit(link, seconds)
            self._links[slot] = link
            self._someone.set()
            if not tried.done():
                tried.set_result(None)
            return await asyncio.shield(link.ended)
        finally:
            link.end(Loss.DIED, ClassifierUnavailable("closed"))

    async def _admit(self, link: Link, seconds: float) -> None:
        """The right weights, and canaries told apart over the same way that work will take. Raises ClassifierError."""
        try:
            async with asyncio.timeout(seconds):
                await link.hello
        except TimeoutError:
            raise ClassifierUnavailable("a screener did not load in time") from None
        messages = texts(self._canaries)
        (work,) = _works([next(self._ids)], messages, NO_LIMIT, sum(map(len, messages)))
        with asked(link, work) as question:
            try:
                await tell_apart(self._card, self._canaries, _assembled(question), seconds)
            except ClassifierArtefact as error:
                if link.ended.done() and link.ended.result() is Loss.DIED:
                    raise ClassifierUnavailable("a screener died at its start") from error
                raise


class ScreenedClassifier(PooledClassifier):
    """A ``Classifier`` over processes, each of which loads and verifies the weights itself."""

    def __init__(self, card: Card, canaries: Canaries, command: Command, count: int, pace: Pace | None = None) -> None:
        async def open_pool() -> Screeners:
            pool = Screeners(card, canaries, command, count, pace)
            await pool.open()
            return pool

        super().__init__(card, open_pool, count, CACHED_WINDOWS)

    @classmethod
    def from_folder(cls, folder: Path, card_sha256: str, count: int) -> ScreenedClassifier:
        """A classifier of the weights in ``folder``, whose card has this digest. Raises ClassifierArtefact."""
        card, canaries = load_test(folder, card_sha256)
        return cls(card, canaries, lambda descriptor: launch(folder, card_sha256, descriptor), count)


@contextlib.contextmanager
def asked(link: Link, work: Work) -> Iterator[Question]:
    """A question, dropped at the end of the block if it is still open."""
    question = link.ask(work)
    try:
        yield question
    finally:
        link.drop(question)


def joined(sweeps: Sequence[Sweep]) -> Sweep:
    """The shares in order as one. Raises ClassifierInvalid when they do not fit together, which is the fault of one of them."""
    first = sweeps[0]
    if any((sweep.counts, sweep.tokens) != (first.counts, first.tokens) for sweep in sweeps):
        raise ClassifierInvalid("screeners count differently")
    whole = Sweep(first.counts, first.tokens, tuple(window for sweep in sweeps for window in sweep.windows))
    for scored in assemble(whole):
        for before, after in itertools.pairwise(scored.windows):
            if not before.start <= after.start <= before.end <= after.end:
                raise ClassifierInvalid("the shares of screeners leave a gap")
    return whole


def _works(numbers: Sequence[int], messages: Sequence[str], limit: int, chars: int) -> list[Work]:
    """One piece of work per number: equal shares of the messages' windows."""
    packed, lengths = tuple(map(pack, messages)), tuple(map(len, messages))
    of, works = len(numbers), []
    for index, number in enumerate(numbers):
        data = frame(Ask(number, packed, limit, index, of))
        works.append(Work(number, data, lengths, limit, Share(index, of), CALL_WEIGHT + chars // of))
    return works


def _check_first(errors: Sequence[ClassifierError | None]) -> None:
    """Where every first start was refused for its weights, trying again is of no use. Raises ClassifierArtefact."""
    refusals = [error for error in errors if isinstance(error, ClassifierArtefact)]
    if len(refusals) == len(errors):
        raise refusals[0]


def _loss(error: ClassifierError) -> Loss:
    """What a process that did not come up is counted as."""
    if isinstance(error, ClassifierArtefact):
        return Loss.REFUSED
    return Loss.NONSENSE if isinstance(error, ClassifierInvalid) else Loss.DIED


async def _assembled(question: Question) -> tuple[Scored, ...]:
    return assemble(await question.answer)


async def _either(first: Question, second: Question) -> Sweep:
    """Whichever answers first; the other's word where one fails."""
    done, _ = await asyncio.wait((first.answer, second.answer), return_when=asyncio.FIRST_COMPLETED)
    if all(answer.exception() is not None for answer in done):
        await asyncio.wait((first.answer, second.answer))
    for question in (second, first):
        if question.answer.done() and question.answer.exception() is None:
            return question.answer.result()
    return await second.answer


def _spawn(command: list[str], theirs: socket.socket) -> subprocess.Popen[bytes]:
    """A process in a session of its own, so that a terminal's Ctrl-C is the gateway's. Raises ClassifierUnavailable."""
    try:
        return subprocess.Popen(  # noqa: S603  # the command is ours: this interpreter and paths of the package
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            pass_fds=(theirs.fileno(),),
            env=inherited(os.environ),
            start_new_session=True,
        )
    except OSError as error:
        raise ClassifierUnavailable(f"a screener cannot be started: {error.strerror}") from error
