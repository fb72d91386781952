"""The parts of an answer that judges clear one by one: a stretch of text, or a whole tool call. Each keeps its own frontiers.

Buffers hold only what has not left. Small additions are joined up to ``CHUNK`` characters, so that an answer in one-character
deltas costs no more memory than its text, and no step ever copies more than the new text and one chunk.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Iterable

from gateway.exchange import AnswerEvent, ChannelKey, Piece, TextDelta, ToolCallStart
from gateway.screening.calls import CallText, utf8_length

CHUNK = 256  # characters up to which neighbouring additions are joined
CARRY = 2048  # characters of context that a stretch takes over from the one before it


class Tail:
    """The last ``CARRY`` characters of one kind of text in one choice, over all its stretches. Adding is amortised O(new)."""

    __slots__ = ("_parts", "_size")

    def __init__(self) -> None:
        self._parts: list[str] = []
        self._size = 0

    def add(self, text: str) -> None:
        """Append text."""
        self._parts.append(text)
        self._size += len(text)
        if self._size > 2 * CARRY:
            kept = self.text()
            self._parts, self._size = [kept], len(kept)

    def text(self) -> str:
        """At most ``CARRY`` characters."""
        return "".join(self._parts)[-CARRY:]


class Part(ABC):
    """What stretches and calls share: the key that judges know it by, the frontier of every group, and whether it is settled.

    ``seen`` counts the judged characters. *Settled* means: final, cleared to its end by every group, and every group has spoken
    once more after the part was declared final, so that a judge that looks at whole texts has had its word.
    """

    __slots__ = ("cleared", "final", "fresh", "frontiers", "key", "listed", "seen", "settled", "source", "unheard")

    def __init__(self, key: ChannelKey, source: ChannelKey, groups: Iterable[str]) -> None:
        self.key = key
        self.source = source
        self.frontiers = dict.fromkeys(groups, 0)
        self.seen = 0
        self.cleared = 0  # the least frontier so far
        self.final = False
        self.settled = False
        self.unheard: set[str] = set()  # groups that have not spoken since the part is final
        self.fresh: list[str] = []  # judged text that no piece has carried yet
        self.listed = False  # waits in the machine's list of parts with news

    def show(self, text: str) -> None:
        """Text for the judges."""
        self.fresh.append(text)
        self.seen += len(text)

    def close(self) -> None:
        """Nothing will be added."""
        self.final = True
        self.unheard = set(self.frontiers)

    def piece(self) -> Piece:
        """The news of this part, joined into one piece; the news is then told."""
        text = "".join(self.fresh)
        self.fresh.clear()
        self.listed = False
        return Piece(self.key, self.seen - len(text), text, self.final)

    def settle(self) -> bool:
        """True once, when the part becomes settled."""
        if self.settled or not self.final or self.unheard or self.cleared < self.seen:
            return False
        self.settled = True
        return True

    @abstractmethod
    def advance(self, least: int) -> int:
        """Every group has cleared up to ``least``. Returns the bytes of answer text that this cleared."""


class Stretch(Part):
    """Text of one channel without anything else of its choice in between. ``waiting`` is not cleared, ``ready`` is.

    Judged offsets begin with the carried context, which has left already: ``out`` and the frontiers count it, nothing else does.
    """

    __slots__ = ("_carry", "_head", "_tail", "out", "ready", "waiting")

    def __init__(self, key: ChannelKey, source: ChannelKey, groups: Iterable[str], tail: Tail) -> None:
        super().__init__(key, source, groups)
        carried = tail.text()
        if carried:
            self.show(carried)
        self.out = self._carry = len(carried)
        self._tail = tail
        self._head = 0  # characters of waiting[0] that are cleared
        self.waiting: deque[str] = deque()
        self.ready: deque[str] = deque()

    def add(self, text: str, *, same_run: bool) -> None:
        """Text from the upstream. ``same_run``: nothing must leave between it and the text before it."""
        self.show(text)
        self._tail.add(text)
        if same_run and self.waiting and len(self.waiting[-1]) < CHUNK:
            self.waiting[-1] += text
        else:
            self.waiting.append(text)

    def advance(self, least: int) -> int:
        """Move cleared text from ``waiting`` to ``ready``."""
        left = least - max(self.cleared, self._carry)
        self.cleared = least
        size = 0
        while left > 0:
            chunk, start = self.waiting[0], self._head
            text = chunk[start : start + left]
            left -= len(text)
            self._head += len(text)
            if start and self.ready and len(self.ready[-1]) < CHUNK:
                self.ready[-1] += text  # of the same chunk, hence of the same run
            else:
                self.ready.append(text)
            if self._head == len(chunk):
                self.waiting.popleft()
                self._head = 0
            size += utf8_length(text)
        return size

    def take(self, end: int) -> str:
        """Cleared text up to judged offset ``end``, a boundary of runs; it is dropped here."""
        texts = []
        while self.ready and self.out < end:
            text = self.ready.popleft()
            self.out += len(text)
            texts.append(text)
        return "".join(texts)


class Call(Part):
    """A tool call: nothing is judged before it is complete, nothing leaves before all of it is cleared."""

    __slots__ = ("_fragments", "_start", "events", "held", "size", "tried")

    def __init__(self, start: ToolCallStart, groups: Iterable[str]) -> None:
        super().__init__(start.key, start.key, groups)
        self._start = start
        self._fragments: list[str] = []
        self.held = len(start.name)  # characters that wait
        self.size = 0  # bytes of arguments
        self.tried = False  # completing it was tried before its choice finished
        self.events: tuple[AnswerEvent, ...] = ()

    @property
    def name(self) -> str:
        """The name of the tool, as the model wrote it."""
        return self._start.name

    def add(self, fragment: str) -> None:
        """A fragment of the arguments."""
        self.size += utf8_length(fragment)
        self.held += len(fragment)
        if self._fragments and len(self._fragments[-1]) < CHUNK:
            self._fragments[-1] += fragment
        else:
            self._fragments.append(fragment)

    def raw(self) -> str:
        """The arguments so far."""
        return "".join(self._fragments)

    def complete(self, call: CallText) -> None:
        """The call is whole: show it to the judges and keep only what would be sent."""
        self._fragments.clear()
        self.events = (self._start, TextDelta(self.key, call.arguments))
        self.size = utf8_length(self.name) + utf8_length(call.arguments)
        self.show(call.judged)
        self.close()

    def drop(self) -> None:
        """The upstream broke the call off: it is never judged and never leaves."""
        self._fragments.clear()
        self.held = 0
        self.final = self.settled = True

    def advance(self, least: int) -> int:
        """A call counts when all of it is cleared."""
        self.cleared = least
        return self.size if least == self.seen else 0
