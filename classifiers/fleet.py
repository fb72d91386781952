"""K screener processes, kept running: started, admitted after their canaries, watched by a beat, restarted with jittered pauses."""

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
from typing import Final

from classifiers.artefacts import Canaries
from classifiers.base import (
    Card,
    ClassifierArtefact,
    ClassifierError,
    ClassifierInvalid,
    ClassifierUnavailable,
    Health,
    Loss,
    Scored,
)
from classifiers.canaries import tell_apart, texts
from classifiers.embedded import NO_LIMIT, START_SECONDS
from classifiers.job import assemble
from classifiers.link import Link, Question, Work, shares_of
from classifiers.screener import inherited

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


class Fleet:
    """``open`` starts the processes; everything belongs to that loop, which must be the main thread's on Linux: the kernel ends a
    screener when the *thread* that started it ends.
    """

    def __init__(self, card: Card, canaries: Canaries, command: Command, count: int, pace: Pace | None = None) -> None:
        self.pace = pace or Pace()
        self.links: dict[int, Link] = {}  # those that take work, by slot
        self.ids = itertools.count(1)  # of everything that is asked of any of them
        self.closed = False
        self._card = card
        self._canaries = canaries
        self._command = command
        self._count = count
        self._processes: dict[int, subprocess.Popen[bytes]] = {}
        self._losses = dict.fromkeys(Loss, 0)
        self._tasks: list[asyncio.Task[None]] = []
        self._someone = asyncio.Event()

    @property
    def health(self) -> Health:
        """See ``Classifier.health``."""
        return Health(len(self.links), self._count, bool(self.links), dict(self._losses))

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
            if not self.links:
                await self.close()
                raise ClassifierUnavailable(f"no screener came up within {seconds} seconds") from None
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        """End the processes. A screener has nothing to finish: what was asked of it fails here."""
        self.closed = True
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def pick(self, without: Link | None) -> Link | None:
        """The least loaded of those that are not silent; of the silent ones only where there are no others."""
        links = [link for link in self.links.values() if link is not without and not link.ended.done()]
        return min(links, key=lambda link: (link.silent > self.pace.doubt, link.load), default=None)

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(self.pace.beat)
            for link in tuple(self.links.values()):
                link.beat(self.pace.doubt, self.pace.hung)

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
            failures = 1 if loop.time() - began > self.pace.steady else failures + 1
            await asyncio.sleep(self.pace.pause(failures))

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
                self.links.pop(slot, None)
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
            self.links[slot] = link
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
        (work,) = shares_of([next(self.ids)], messages, NO_LIMIT)
        with asked(link, work) as question:
            try:
                await tell_apart(self._card, self._canaries, _assembled(question), seconds)
            except ClassifierArtefact as error:
                if link.ended.done() and link.ended.result() is Loss.DIED:
                    raise ClassifierUnavailable("a screener died at its start") from error
                raise


@contextlib.contextmanager
def asked(link: Link, work: Work) -> Iterator[Question]:
    """A question, dropped at the end of the block if it is still open."""
    question = link.ask(work)
    try:
        yield question
    finally:
        link.drop(question)


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
