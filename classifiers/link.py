"""The gateway's end of one screener: questions out, checked answers in, and a beat that tells a hung process from a busy one.

Nothing that a screener says is believed before it is checked: an answer that does not cover its text with proper scores ends
the process. All of it belongs to the loop; nothing here blocks.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, cast

from classifiers.base import (
    Card,
    ClassifierArtefact,
    ClassifierError,
    ClassifierInvalid,
    ClassifierUnavailable,
    Loss,
    OverBudget,
    Window,
)
from classifiers.frames import (
    Ask,
    Drop,
    Failed,
    Found,
    FrameError,
    Frames,
    Hello,
    Over,
    Part,
    Ping,
    Pong,
    Refused,
    Reply,
    frame,
    pack,
)
from classifiers.job import Share, Sweep, check_scores

# Parts of 128 windows each; more at a time would hold the loop for over a millisecond.
FRAMES_AT_ONCE: Final = 4
CALL_WEIGHT: Final = 256  # what a call costs besides its characters


@dataclass(frozen=True, slots=True)
class Work:
    """A share of a call, as it can be asked of any screener: its frame, and what an answer is held against."""

    id: int
    data: bytes
    lengths: tuple[int, ...]
    limit: int
    share: Share
    weight: int


def shares_of(numbers: Sequence[int], messages: Sequence[str], limit: int) -> list[Work]:
    """One piece of work per number: equal shares of the messages' windows."""
    packed, lengths = tuple(map(pack, messages)), tuple(map(len, messages))
    of, works = len(numbers), []
    weight = CALL_WEIGHT + sum(lengths) // of
    for index, number in enumerate(numbers):
        data = frame(Ask(number, packed, limit, index, of))
        works.append(Work(number, data, lengths, limit, Share(index, of), weight))
    return works


class Question:
    """Work in the hands of one screener. ``answer`` is its sweep or error; ``doubt`` is set when the screener falls silent."""

    def __init__(self, work: Work, loop: asyncio.AbstractEventLoop) -> None:
        self.work = work
        self.answer: asyncio.Future[Sweep] = loop.create_future()
        self.doubt: asyncio.Future[None] = loop.create_future()
        self._found: Found | None = None
        self._windows: list[Window] = []
        self._wanted = 0
        self._places: Iterator[_Place] = iter(())
        self._before: Window | None = None

    def found(self, found: Found) -> None:
        """The counts: as many as texts, none for an empty text alone, within the limit. Raises ClassifierInvalid."""
        lengths, total = self.work.lengths, sum(found.windows)
        fits = len(found.windows) == len(found.tokens) == len(lengths) and total <= self.work.limit
        if self._found is not None or not fits or min(found.tokens, default=0) < 0:
            raise ClassifierInvalid("a screener counted wrongly")
        if any(
            count < 0 or (count == 0) != (length == 0) for count, length in zip(found.windows, lengths, strict=True)
        ):
            raise ClassifierInvalid("a screener left a text out")
        self._found = found
        first, last = self.work.share.bounds(total)
        self._wanted = last - first
        self._places = itertools.islice(_places(found.windows, lengths), first, last)
        self._settle()

    def part(self, part: Part, categories: int) -> None:
        """The next windows, each where it can follow the one before. Raises ClassifierInvalid."""
        for start, end, scores in part.spans:
            place = next(self._places, None)
            if place is None:
                raise ClassifierInvalid("a screener sent too many windows")
            window = Window(start, end, check_scores(scores, categories))
            if not place.holds(window, self._before):
                raise ClassifierInvalid("a screener's windows do not cover their text")
            self._before = None if place.last else window
            self._windows.append(window)
        self._settle()

    def fail(self, error: ClassifierError) -> None:
        """No answer will come from there."""
        if not self.answer.done():
            self.answer.set_exception(error)
            self.answer.exception()  # whoever waited may have left

    def suspect(self) -> None:
        """The answer may never come."""
        if not self.doubt.done():
            self.doubt.set_result(None)

    def _settle(self) -> None:
        if self._found is not None and len(self._windows) == self._wanted and not self.answer.done():
            self.answer.set_result(
                Sweep(self._found.windows, self._found.tokens, tuple(self._windows), self._found.encoder)
            )


@dataclass(frozen=True, slots=True)
class _Place:
    """Where in its text a window stands: as first, as last, or between."""

    first: bool
    last: bool
    length: int

    def holds(self, window: Window, before: Window | None) -> bool:
        if not 0 <= window.start <= window.end <= self.length or (self.first and window.start > 0):
            return False
        if before is not None and not before.start <= window.start <= before.end <= window.end:
            return False
        return not self.last or window.end == self.length


def _places(counts: Sequence[int], lengths: Sequence[int]) -> Iterator[_Place]:
    for count, length in zip(counts, lengths, strict=True):
        for index in range(count):
            yield _Place(index == 0, index == count - 1, length)


class Link(asyncio.Protocol):
    """One screener's connection. ``ended`` is why it ended, once it has."""

    def __init__(self, card: Card, loop: asyncio.AbstractEventLoop) -> None:
        self.hello: asyncio.Future[None] = loop.create_future()
        self.ended: asyncio.Future[Loss] = loop.create_future()
        self._card = card
        self._loop = loop
        self._frames = Frames.replies()
        self._questions: dict[int, Question] = {}
        self._transport: asyncio.WriteTransport
        self._pumping = False
        self._silent = 0
        self._progress = -1

    @property
    def load(self) -> int:
        """How much is asked of it, in characters."""
        return sum(question.work.weight for question in self._questions.values())

    @property
    def silent(self) -> int:
        """Beats without a sign of life, or of progress while something is asked."""
        return self._silent

    def ask(self, work: Work) -> Question:
        """Ask; the answer comes through the question."""
        question = Question(work, self._loop)
        if self.ended.done():
            question.fail(ClassifierUnavailable("a screener ended"))
            return question
        self._questions[work.id] = question
        self._transport.write(work.data)
        return question

    def drop(self, question: Question) -> None:
        """Nobody waits for this any more."""
        if self._questions.get(question.work.id) is question:
            del self._questions[question.work.id]
            if not self.ended.done():
                self._transport.write(frame(Drop(question.work.id)))

    def beat(self, doubt: int, hung: int) -> None:
        """Ask for a sign of life. Silence over ``doubt`` beats casts doubt on its questions, over ``hung`` beats ends it."""
        if self.ended.done():
            return
        if self._silent > hung:
            self.end(Loss.HUNG, ClassifierUnavailable("a screener hung"))
            return
        if self._silent > doubt:
            for question in self._questions.values():
                question.suspect()
        self._silent += 1
        self._transport.write(frame(Ping()))

    def end(self, loss: Loss, error: ClassifierError) -> None:
        """Give it up: what was asked of it fails with ``error``."""
        if self.ended.done():
            return
        self.ended.set_result(loss)
        if not self.hello.done():
            self.hello.set_exception(error)
            self.hello.exception()
        questions, self._questions = self._questions, {}
        for question in questions.values():
            question.fail(error)
        self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Of asyncio."""
        self._transport = cast("asyncio.WriteTransport", transport)

    def connection_lost(self, exc: Exception | None) -> None:
        """Of asyncio."""
        self.end(Loss.DIED, ClassifierUnavailable("a screener died"))

    def data_received(self, data: bytes) -> None:
        """Of asyncio."""
        self._frames.feed(data)
        if not self._pumping:
            self._pump()

    def _pump(self) -> None:
        """A few messages, and the rest in a later turn of the loop."""
        self._pumping = False
        taken = 0
        try:
            for message in itertools.islice(self._frames.messages(), FRAMES_AT_ONCE):
                if self.ended.done():
                    return
                self._take(message)
                taken += 1
        except ClassifierArtefact as error:
            self.end(Loss.REFUSED, error)
        except (FrameError, ClassifierInvalid) as error:
            self.end(Loss.NONSENSE, ClassifierInvalid(f"a screener answered nonsense: {error}"))
        if taken == FRAMES_AT_ONCE:
            self._pumping = True
            self._loop.call_soon(self._pump)

    def _take(self, message: Reply) -> None:
        """Raises ClassifierArtefact, ClassifierInvalid."""
        if isinstance(message, Pong):
            if message.progress != self._progress or not (message.busy or self._questions):
                self._silent = 0
            self._progress = message.progress
        elif isinstance(message, Refused):
            raise ClassifierArtefact(message.reason)
        elif isinstance(message, Hello):
            self._greet(message)
        else:
            self._silent = 0
            # What was dropped meanwhile may still be answered.
            if (question := self._questions.get(message.id)) is not None:
                self._hear(question, message)

    def _greet(self, hello: Hello) -> None:
        if hello.digest != self._card.digest:
            raise ClassifierArtefact(f"a screener loaded {hello.digest}, pinned is {self._card.digest}")
        if not self.hello.done():
            self.hello.set_result(None)

    def _hear(self, question: Question, message: Found | Part | Over | Failed) -> None:
        if isinstance(message, Found):
            question.found(message)
        elif isinstance(message, Part):
            question.part(message, len(self._card.categories))
        elif isinstance(message, Over):
            if message.windows <= question.work.limit:
                raise ClassifierInvalid("over a limit that is not exceeded")
            question.fail(OverBudget(message.windows, question.work.limit))
        else:
            kind = ClassifierInvalid if message.kind == "invalid" else ClassifierUnavailable
            question.fail(kind(message.reason))
        if question.answer.done():
            del self._questions[question.work.id]
