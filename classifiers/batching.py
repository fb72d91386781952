"""Inference off the event loop: worker threads take turns on short slices of waiting jobs.

A job is one ``score`` call. A worker pops it, cuts its texts into windows (counting them against the budget before any
inference), and afterwards runs a few windows at a time, putting the job back in the queue before it runs each slice: a long
prompt cannot keep short ones waiting for more than a slice, and uses all workers when they are free. Windows are not
batched: see ``encoder``.

The event loop takes no lock: it puts into a ``SimpleQueue`` (which never blocks) and receives slices through
``call_soon_threadsafe``. All methods of ``Workers`` belong to the loop that started it.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import queue
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from classifiers.base import ClassifierError, ClassifierInvalid, ClassifierUnavailable, OverBudget, Scored, Window
from classifiers.windows import Planned, Span

SLICE_WINDOWS: Final = 8
CLOSE_SECONDS: Final = 5.0


class Engine(Protocol):
    """A loaded model. Both methods are called from several threads at once and may block them."""

    def plan(self, text: str, limit: int) -> Planned:
        """Cut a text into windows. Raises OverBudget when they are more than ``limit``."""

    def infer(self, ids: Sequence[int]) -> tuple[float, ...]:
        """One score per category for one window. Raises ClassifierError."""


@dataclass(frozen=True, slots=True)
class _Slice:
    """Windows [start, start + len(spans)) of a job, counted over all its messages."""

    start: int
    spans: tuple[Span, ...]


class Job:
    """One call in progress. Workers read ``dropped`` and hold the cursor while they own the job; the rest is the loop's."""

    def __init__(self, messages: Sequence[str], limit: int, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.future: asyncio.Future[tuple[Scored, ...]] = loop.create_future()
        self.dropped = False
        self._messages = tuple(messages)
        self._limit = limit
        self._planned: tuple[Planned, ...] | None = None
        self._spans: tuple[Span, ...] = ()
        self._cursor = 0
        self._scores: dict[int, tuple[float, ...]] = {}

    def plan(self, engine: Engine) -> bool:
        """Worker: cut the messages into windows if that has not been done. Returns whether it did."""
        if self._planned is not None:
            return False
        planned: list[Planned] = []
        used = 0
        for message in self._messages:
            try:
                planned.append(engine.plan(message, self._limit - used))
            except OverBudget as error:
                raise OverBudget(used + error.windows, self._limit) from None
            used += len(planned[-1].spans)
        self._spans = tuple(span for plan in planned for span in plan.spans)
        self._planned = tuple(planned)
        return True

    def take(self) -> _Slice:
        """Worker: the next slice, which no other worker will get."""
        start = self._cursor
        self._cursor = min(start + SLICE_WINDOWS, len(self._spans))
        return _Slice(start, self._spans[start : self._cursor])

    @property
    def waiting(self) -> bool:
        """Worker: whether there are windows that nobody has taken."""
        return self._cursor < len(self._spans)

    def deliver(self, start: int, scores: Sequence[tuple[float, ...]]) -> None:
        """Loop: keep the scores of a slice; the last one completes the job."""
        self._scores.update(enumerate(scores, start))
        if len(self._scores) == len(self._spans) and not self.future.done():
            self.future.set_result(self._assemble())

    def fail(self, error: ClassifierError) -> None:
        """Loop: end the job with an error; what is left of it is dropped unrun."""
        self.drop()
        if not self.future.done():
            self.future.set_exception(error)

    def drop(self) -> None:
        """Loop: nobody waits any more; workers pass over the job and its texts are let go."""
        self.dropped = True
        self._messages = ()

    def _assemble(self) -> tuple[Scored, ...]:
        scored = []
        position = 0
        for plan in self._planned or ():
            windows = tuple(
                Window(span.start, span.end, self._scores[index]) for index, span in enumerate(plan.spans, position)
            )
            position += len(windows)
            scored.append(Scored(windows, plan.tokens))
        return tuple(scored)


def check_scores(scores: Sequence[float], categories: int) -> tuple[float, ...]:
    """The scores, if they are one finite number in [0, 1] per category. Raises ClassifierInvalid."""
    if len(scores) != categories or not all(math.isfinite(score) and 0.0 <= score <= 1.0 for score in scores):
        raise ClassifierInvalid(f"expected {categories} scores in [0, 1]")
    return tuple(scores)


class Workers:
    """A fixed number of threads over one engine; a thread that dies is replaced and its job fails."""

    def __init__(self, engine: Engine, categories: int, *, threads: int, waiting: int) -> None:
        self._engine = engine
        self._categories = categories
        self._most_waiting = waiting
        self._queue: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._jobs: set[Job] = set()
        self._closed = False
        self._loop = asyncio.get_running_loop()
        self._threads = [self._spawn() for _ in range(threads)]
        self.restarts = 0

    async def run(self, messages: Sequence[str], limit: int) -> tuple[Scored, ...]:
        """Score the messages. Raises OverBudget, ClassifierUnavailable (also when the queue is full), ClassifierInvalid."""
        if self._closed:
            raise ClassifierUnavailable("closed")
        if self._queue.qsize() >= self._most_waiting:
            raise ClassifierUnavailable("the queue is full")
        job = Job(messages, limit, self._loop)
        self._jobs.add(job)
        self._queue.put(job)
        try:
            return await job.future
        finally:
            job.drop()
            self._jobs.discard(job)

    async def close(self) -> None:
        """Fail what is waiting and end the threads; a thread stuck in the model is left behind after a few seconds."""
        self._closed = True
        for job in tuple(self._jobs):
            job.fail(ClassifierUnavailable("closed"))
        for _ in self._threads:
            self._queue.put(None)
        await asyncio.to_thread(self._join)

    def _join(self) -> None:
        for thread in self._threads:
            thread.join(CLOSE_SECONDS)

    def _spawn(self) -> threading.Thread:
        # A daemon, so that a model that hangs cannot keep the process from ending.
        thread = threading.Thread(target=self._work, name="classifier", daemon=True)
        thread.start()
        return thread

    def _work(self) -> None:
        alive = True
        while alive and (job := self._queue.get()) is not None:
            if not job.dropped:
                alive = self._survives(job)

    def _survives(self, job: Job) -> bool:
        try:
            self._step(job)
        except BaseException as error:  # noqa: BLE001  a thread must not end without the loop hearing of it
            failure = ClassifierUnavailable(f"a worker died: {type(error).__name__}")
            failure.__cause__ = error
            self._tell(self._on_death, threading.current_thread(), job, failure)
            return False
        return True

    def _step(self, job: Job) -> None:
        try:
            if not job.plan(self._engine):
                self._infer(job, job.take())
            elif job.waiting:
                self._queue.put(job)
            else:
                self._tell(job.deliver, 0, ())
        except ClassifierError as error:
            self._tell(job.fail, error)
        except Exception as error:  # noqa: BLE001  whatever a model raises must end as "could not evaluate", not as silence
            failure = ClassifierUnavailable(f"the engine failed: {type(error).__name__}")
            failure.__cause__ = error
            self._tell(job.fail, failure)

    def _infer(self, job: Job, part: _Slice) -> None:
        if job.waiting:
            self._queue.put(job)
        scores = []
        for span in part.spans:
            if job.dropped:
                return
            scores.append(check_scores(self._engine.infer(span.ids), self._categories))
        self._tell(job.deliver, part.start, scores)

    def _tell(self, callback: Callable[..., object], *arguments: object) -> None:
        # The loop is gone when the process is ending; then nobody waits for the answer either.
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(callback, *arguments)

    def _on_death(self, thread: threading.Thread, job: Job, failure: ClassifierUnavailable) -> None:
        job.fail(failure)
        self._threads.remove(thread)
        if not self._closed:
            self.restarts += 1
            self._threads.append(self._spawn())
