"""One ``score`` call on its way through an engine: planned once, run slice by slice by whichever thread is free, put together."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from classifiers.base import ClassifierError, ClassifierInvalid, OverBudget, Scored, Window
from classifiers.windows import Planned, Span

SLICE_WINDOWS: Final = 8
SETTLED_WINDOWS: Final = 1024  # of a slice, besides those that cost an inference


class Engine(Protocol):
    """A loaded model. Both methods are called from several threads at once and may block them."""

    def plan(self, text: str, limit: int) -> Planned:
        """Cut a text into windows. Raises OverBudget when they are more than ``limit``."""

    def infer(self, ids: Sequence[int]) -> tuple[float, ...]:
        """One score per category for one window. Raises ClassifierError."""


@dataclass(frozen=True, slots=True)
class Share:
    """One of ``of`` parts of the windows of a call, so that several processes can work on one long text."""

    index: int = 0
    of: int = 1

    def bounds(self, windows: int) -> tuple[int, int]:
        """[first, last) of ``windows`` windows, counted over all messages."""
        return windows * self.index // self.of, windows * (self.index + 1) // self.of


WHOLE: Final = Share()


@dataclass(frozen=True, slots=True)
class Sweep:
    """The scored windows of a share in order, and how many windows and tokens each message has in all."""

    counts: tuple[int, ...]
    tokens: tuple[int, ...]
    windows: tuple[Window, ...]
    encoder: int = 0  # of the share's windows, those that no early stage had settled


def assemble(sweep: Sweep) -> tuple[Scored, ...]:
    """One result per message, from a sweep that holds all windows."""
    scored = []
    position = 0
    for count, tokens in zip(sweep.counts, sweep.tokens, strict=True):
        scored.append(Scored(sweep.windows[position : position + count], tokens))
        position += count
    return tuple(scored)


def check_scores(scores: Sequence[float], categories: int) -> tuple[float, ...]:
    """The scores, if they are one finite number in [0, 1] per category. Raises ClassifierInvalid."""
    if len(scores) != categories or not all(math.isfinite(score) and 0.0 <= score <= 1.0 for score in scores):
        raise ClassifierInvalid(f"expected {categories} scores in [0, 1]")
    return tuple(scores)


@dataclass(frozen=True, slots=True)
class Slice:
    """Windows [start, start + len(spans)) of a job's share."""

    start: int
    spans: tuple[Span, ...]


class Job:
    """One call in progress. Workers read ``dropped`` and hold the cursor while they own the job; the rest is the loop's."""

    def __init__(self, messages: Sequence[str], limit: int, share: Share, loop: asyncio.AbstractEventLoop) -> None:
        self.future: asyncio.Future[Sweep] = loop.create_future()
        self.dropped = False
        self._messages = tuple(messages)
        self._limit = limit
        self._share = share
        self._planned: tuple[Planned, ...] | None = None
        self._spans: tuple[Span, ...] = ()
        self._cursor = 0
        self._windows: dict[int, Window] = {}

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
        first, last = self._share.bounds(used)
        self._spans = tuple(span for plan in planned for span in plan.spans)[first:last]
        self._planned = tuple(planned)
        return True

    def take(self) -> Slice:
        """Worker: the next slice, which no other worker will get."""
        start = cursor = self._cursor
        most, dear = min(start + SETTLED_WINDOWS, len(self._spans)), 0
        while cursor < most and dear < SLICE_WINDOWS:
            dear += self._spans[cursor].scores is None
            cursor += 1
        self._cursor = cursor
        return Slice(start, self._spans[start:cursor])

    @property
    def waiting(self) -> bool:
        """Worker: whether there are windows that nobody has taken."""
        return self._cursor < len(self._spans)

    def deliver(self, start: int, windows: Sequence[Window]) -> None:
        """Loop: keep the windows of a slice; the last ones complete the job."""
        self._windows.update(enumerate(windows, start))
        if len(self._windows) == len(self._spans) and not self.future.done():
            self.future.set_result(self._sweep())

    def fail(self, error: ClassifierError) -> None:
        """Loop: end the job with an error; what is left of it is dropped unrun."""
        self.drop()
        if not self.future.done():
            self.future.set_exception(error)

    def drop(self) -> None:
        """Loop: nobody waits any more; workers pass over the job and its texts are let go."""
        self.dropped = True
        self._messages = ()

    def _sweep(self) -> Sweep:
        planned = self._planned or ()
        return Sweep(
            tuple(len(plan.spans) for plan in planned),
            tuple(plan.tokens for plan in planned),
            tuple(map(self._windows.__getitem__, range(len(self._spans)))),
            sum(span.scores is None for span in self._spans),
        )
