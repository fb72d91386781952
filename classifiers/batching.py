"""Inference off the event loop: worker threads take turns on short slices of waiting jobs.

A job is one ``score`` call. A worker pops it, cuts its texts into windows (counting them against the budget before any
inference), and afterwards runs a few windows at a time, putting the job back in the queue before it runs each slice: a long
prompt cannot keep short ones waiting for more than a slice, and uses all workers when they are free. Windows are not
batched: see ``encoder``.

The event loop takes no lock: it puts into a ``SimpleQueue`` (which never blocks) and receives slices through
``call_soon_threadsafe``. All methods of ``Workers`` belong to the loop that started it.

A thread that hangs inside the model cannot be ended. It is left behind and another takes its place, as long as few hang;
when it comes back after all, it ends, and stops counting.
"""

from __future__ import annotations

import asyncio
import contextlib
import queue
import threading
from collections.abc import Callable, Sequence
from typing import Final

from classifiers.base import ClassifierError, ClassifierUnavailable, Health, Loss, Scored, Window
from classifiers.job import WHOLE, Engine, Job, Share, Slice, Sweep, assemble, check_scores

CLOSE_SECONDS: Final = 5.0
# A window takes milliseconds. Looks are counted, not seconds: they stand still together with the process.
LOOK_SECONDS: Final = 1.0
STUCK_LOOKS: Final = 30
MOST_ABANDONED: Final = 4


class _Worker:
    """One thread, and what the loop reads of it: the job in hand, and a count that moves with every window."""

    def __init__(self) -> None:
        self.thread: threading.Thread
        self.job: Job | None = None
        self.steps = 0
        self.abandoned = False
        self._seen = -1
        self._still = 0

    def look(self) -> bool:
        """Loop, once a look: whether it has been at the same step for ``STUCK_LOOKS`` looks."""
        moved = self.job is None or self.steps != self._seen
        self._still = 0 if moved else self._still + 1
        self._seen = self.steps
        return self._still >= STUCK_LOOKS


class Workers:
    """A number of threads over one engine; a thread that dies or hangs is replaced and its job fails."""

    def __init__(self, engine: Engine, categories: int, *, threads: int, waiting: int) -> None:
        self._engine = engine
        self._categories = categories
        self._most_waiting = waiting
        self._queue: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._jobs: set[Job] = set()
        self._closed = False
        self._losses = dict.fromkeys(Loss, 0)
        self._loop = asyncio.get_running_loop()
        self._wanted = threads
        self._abandoned: set[_Worker] = set()
        self._workers = [self._spawn() for _ in range(threads)]
        self._steps_before = 0
        self._windows = self._encoder = 0
        self._timer = self._loop.call_later(LOOK_SECONDS, self._look_again)

    @property
    def health(self) -> Health:
        """See ``Classifier.health``."""
        alive = 0 if self._closed else len(self._workers)
        fit = alive > 0 and len(self._abandoned) <= MOST_ABANDONED
        return Health(alive, self._wanted, fit, dict(self._losses), self._windows, self._encoder)

    @property
    def progress(self) -> int:
        """A number that grows with every text planned and every window inferred."""
        return self._steps_before + sum(worker.steps for worker in self._workers)

    @property
    def busy(self) -> bool:
        """Whether a thread is in the middle of something."""
        return any(worker.job is not None for worker in self._workers)

    async def run(self, messages: Sequence[str], limit: int) -> tuple[Scored, ...]:
        """Score the messages. Raises as ``sweep``."""
        return assemble(await self.sweep(messages, limit))

    async def sweep(self, messages: Sequence[str], limit: int, share: Share = WHOLE) -> Sweep:
        """Score a share of the messages' windows.

        Raises OverBudget (by all windows, not the share's), ClassifierUnavailable (also when the queue is full), ClassifierInvalid.
        """
        if self._closed or not self._workers:
            raise ClassifierUnavailable("closed" if self._closed else "every thread hangs")
        if self._queue.qsize() >= self._most_waiting:
            raise ClassifierUnavailable("the queue is full")
        job = Job(messages, limit, share, self._loop)
        self._jobs.add(job)
        self._queue.put(job)
        try:
            sweep = await job.future
            self._windows += len(sweep.windows)
            self._encoder += sweep.encoder
            return sweep
        finally:
            job.drop()
            self._jobs.discard(job)

    def look(self) -> None:
        """Leave threads behind that hang; called once a second."""
        for worker in [worker for worker in self._workers if worker.look()]:
            worker.abandoned = True
            self._abandoned.add(worker)
            if worker.job is not None:
                worker.job.fail(ClassifierUnavailable("a worker hangs"))
            self._lose(worker, Loss.HUNG)
        if not self._workers:
            self._fail_all(ClassifierUnavailable("every thread hangs"))

    async def close(self) -> None:
        """Fail what is waiting and end the threads; a thread stuck in the model is left behind after a few seconds."""
        self._closed = True
        self._timer.cancel()
        self._fail_all(ClassifierUnavailable("closed"))
        for _ in self._workers:
            self._queue.put(None)
        await asyncio.to_thread(self._join)

    def _fail_all(self, error: ClassifierUnavailable) -> None:
        for job in tuple(self._jobs):
            job.fail(error)

    def _join(self) -> None:
        for worker in self._workers:
            worker.thread.join(CLOSE_SECONDS)

    def _look_again(self) -> None:
        self.look()
        self._timer = self._loop.call_later(LOOK_SECONDS, self._look_again)

    def _spawn(self) -> _Worker:
        worker = _Worker()
        # A daemon, so that a model that hangs cannot keep the process from ending.
        worker.thread = threading.Thread(target=self._work, args=(worker,), name="classifier", daemon=True)
        worker.thread.start()
        return worker

    def _lose(self, worker: _Worker, loss: Loss) -> None:
        self._losses[loss] += 1
        self._steps_before += worker.steps
        self._workers.remove(worker)
        self._refill()

    def _refill(self) -> None:
        while not self._closed and len(self._workers) < self._wanted and len(self._abandoned) <= MOST_ABANDONED:
            self._workers.append(self._spawn())

    def _work(self, worker: _Worker) -> None:
        alive = True
        while alive and not worker.abandoned and (job := self._queue.get()) is not None:
            if not job.dropped:
                worker.job = job
                alive = self._survives(worker, job)
                worker.job = None
        if worker.abandoned:
            self._tell(self._on_return, worker)

    def _survives(self, worker: _Worker, job: Job) -> bool:
        try:
            self._step(worker, job)
        except BaseException as error:  # noqa: BLE001  a thread must not end without the loop hearing of it
            failure = ClassifierUnavailable(f"a worker died: {type(error).__name__}")
            failure.__cause__ = error
            self._tell(self._on_death, worker, job, failure)
            return False
        return True

    def _step(self, worker: _Worker, job: Job) -> None:
        try:
            if not job.plan(self._engine):
                self._infer(worker, job, job.take())
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
        finally:
            worker.steps += 1

    def _infer(self, worker: _Worker, job: Job, part: Slice) -> None:
        if job.waiting:
            self._queue.put(job)
        windows = []
        for span in part.spans:
            if job.dropped:
                return
            scores = check_scores(span.scores or self._engine.infer(span.ids), self._categories)
            windows.append(Window(span.start, span.end, scores))  # here, and not on the loop
            worker.steps += 1
        self._tell(job.deliver, part.start, windows)

    def _tell(self, callback: Callable[..., object], *arguments: object) -> None:
        # The loop is gone when the process is ending; then nobody waits for the answer either.
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(callback, *arguments)

    def _on_death(self, worker: _Worker, job: Job, failure: ClassifierUnavailable) -> None:
        job.fail(failure)
        if worker in self._workers and not self._closed:
            self._lose(worker, Loss.DIED)

    def _on_return(self, worker: _Worker) -> None:
        self._abandoned.discard(worker)
        self._refill()
