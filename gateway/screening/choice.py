"""One choice of an answer: its events in the order in which they may leave, and the parts that judges clear.

First in, first out: an event waits for everything before it in its choice, and for nothing in another choice.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from gateway.errors import UpstreamMalformed
from gateway.exchange import (
    AnswerEvent,
    Channel,
    ChannelKey,
    Finish,
    FinishReason,
    OpaqueBlock,
    Piece,
    TextDelta,
    ToolCallStart,
)
from gateway.screening.calls import ARGUMENT_BYTES, read_call
from gateway.screening.parts import Call, Part, Stretch, Tail

SWITCHES = 32  # stretches of one choice that may be declared final before it ends
PARTS = 1024  # stretches and calls of one answer

_TEXT_CHANNELS = frozenset({Channel.CONTENT, Channel.REASONING, Channel.REFUSAL})
# Where the upstream itself broke off, an unfinished call is no fault of its dialect; the call is left out.
_BROKEN_OFF = frozenset({FinishReason.LENGTH, FinishReason.CONTENT_FILTER, FinishReason.REFUSAL})


@dataclass(slots=True)
class Roster:
    """What all choices of an answer share: the parts by the judges' key, those with news, and the running counts."""

    groups: Sequence[str]
    parts: dict[ChannelKey, Stretch | Call] = field(default_factory=dict)
    news: list[Part] = field(default_factory=list)
    unsettled: int = 0  # parts that may still be flagged
    held: int = 0  # characters that wait
    epoch: int = 0  # Usage events so far; text after one stands behind it

    def enlist(self, part: Stretch | Call) -> None:
        """A new part. Raises UpstreamMalformed beyond ``PARTS``."""
        self.parts[part.key] = part
        self.unsettled += 1
        if len(self.parts) > PARTS:
            raise UpstreamMalformed("answer over limit: too many parts")

    def tell(self, part: Part) -> None:
        """The part has something for the judges."""
        if not part.listed:
            part.listed = True
            self.news.append(part)

    def pieces(self) -> tuple[Piece, ...]:
        """All news, one piece per part."""
        pieces = tuple(part.piece() for part in self.news)
        self.news.clear()
        return pieces

    def clear(self) -> None:
        """Drop everything but the counts."""
        self.parts.clear()
        self.news.clear()


@dataclass(slots=True)
class _Run:
    """A place in the order for text of a stretch up to judged offset ``end``; ``last`` also waits until the stretch is settled."""

    part: Stretch
    epoch: int
    end: int
    last: bool = False


@dataclass(slots=True)
class _Whole:
    """A place in the order for a tool call."""

    part: Call
    epoch: int


@dataclass(slots=True)
class Single:
    """An event that leaves as it came."""

    event: AnswerEvent
    epoch: int


class Choice:
    """Takes the events of one choice, and gives what is cleared. Raises UpstreamMalformed where the order makes no sense."""

    __slots__ = ("_calls", "_current", "_numbers", "_queue", "_roster", "_stretches", "_switches", "_tails", "done")

    def __init__(self, roster: Roster) -> None:
        self._roster = roster
        self._queue: deque[_Run | _Whole | Single] = deque()
        self._current: Stretch | Call | None = None
        self._stretches: dict[ChannelKey, Stretch] = {}  # those that are not final, by the upstream's key
        self._calls: dict[ChannelKey, Call] = {}
        self._tails: dict[Channel, Tail] = {}
        self._numbers: dict[Channel, int] = {}  # stretches of each kind so far
        self._switches = 0
        self.done = False  # Finish was seen

    def text(self, event: TextDelta) -> None:
        """Text that is not empty, of a text channel or of a tool call's arguments."""
        if event.key.channel is Channel.TOOL_CALL:
            self._arguments(event)
            return
        part = self._current
        if not isinstance(part, Stretch) or part.source != event.key:
            part = self._turn(event.key)
        roster = self._roster
        run = self._queue[-1] if self._queue else None
        if isinstance(run, _Run) and run.part is part and run.epoch == roster.epoch:
            part.add(event.text, same_run=True)
            run.end = part.seen
        else:
            part.add(event.text, same_run=False)
            self._queue.append(_Run(part, roster.epoch, part.seen))
        roster.held += len(event.text)
        roster.tell(part)

    def call(self, event: ToolCallStart) -> None:
        """A tool call begins."""
        if event.key in self._calls or event.key.channel is not Channel.TOOL_CALL or not event.name:
            raise UpstreamMalformed("the model server began a tool call twice, in a wrong channel or without a name")
        self._leave()
        call = Call(event, self._roster.groups)
        self._roster.held += call.held
        self._current = self._calls[event.key] = call
        self._queue.append(_Whole(call, self._roster.epoch))
        self._roster.enlist(call)

    def block(self, event: OpaqueBlock) -> None:
        """An opaque block that may leave in its turn."""
        if self._current is None or self._current.source != event.key:
            self._leave()
        self._queue.append(Single(event, self._roster.epoch))

    def finish(self, event: Finish | None) -> None:
        """The choice ended, or (None) the answer did without saying so."""
        self.done = True
        for stretch in self._stretches.values():
            self._close(stretch)
        broken_off = event is not None and event.reason in _BROKEN_OFF
        for call in self._calls.values():
            if not call.final:
                self._last_chance(call, broken_off=broken_off)
        if event is not None:
            self._queue.append(Single(event, self._roster.epoch))

    def drain(self, epoch: int, out: list[AnswerEvent]) -> bool:
        """Release what may go of everything up to this epoch; True when nothing of it is left."""
        queue = self._queue
        while queue and queue[0].epoch <= epoch:
            if not self._go(queue[0], out):
                return False
            queue.popleft()
        return True

    def _go(self, item: _Run | _Whole | Single, out: list[AnswerEvent]) -> bool:
        """Release an item as far as it is cleared; True when it is done with."""
        if isinstance(item, Single):
            out.append(item.event)
            return True
        if isinstance(item, _Whole):
            if item.part.settled:
                out.extend(item.part.events)
                self._roster.held -= item.part.held
            return item.part.settled
        text = item.part.take(item.end)
        if text:
            out.append(TextDelta(item.part.source, text))
            self._roster.held -= len(text)
        return item.part.out == item.end and (item.part.settled or not item.last)

    def _turn(self, key: ChannelKey) -> Stretch:
        """Go over to the stretch for this key, a new one unless it is still open."""
        if key.channel not in _TEXT_CHANNELS:
            raise UpstreamMalformed("the model server sent text in a channel that answers do not have")
        self._leave()
        part = self._stretches.get(key)
        if part is None:
            number = self._numbers.get(key.channel, 0)
            self._numbers[key.channel] = number + 1
            tail = self._tails.setdefault(key.channel, Tail())
            part = Stretch(ChannelKey(key.choice, key.channel, number), key, self._roster.groups, tail)
            self._stretches[key] = part
            self._roster.enlist(part)
        self._current = part
        return part

    def _leave(self) -> None:
        """Something else of the choice follows the current part."""
        part, self._current = self._current, None
        if isinstance(part, Stretch):
            if self._switches < SWITCHES:
                self._switches += 1
                del self._stretches[part.source]
                self._close(part)
        elif part is not None and part.size and not part.tried:
            part.tried = True  # once, so that interleaved fragments are not parsed again and again
            self._complete(part)

    def _close(self, part: Stretch) -> None:
        """The stretch is final; what follows in the order waits until every group has spoken about its end."""
        part.close()
        self._roster.tell(part)
        self._queue.append(_Run(part, self._roster.epoch, part.seen, last=True))

    def _arguments(self, event: TextDelta) -> None:
        call = self._calls.get(event.key)
        if call is None:
            raise UpstreamMalformed("the model server sent arguments of a tool call that it had not begun")
        if call.final:
            if event.text.strip():
                raise UpstreamMalformed("the model server went on with a tool call that was complete")
            return
        if call is not self._current:
            self._leave()
            self._current = call
        call.add(event.text)
        self._roster.held += len(event.text)
        if call.size > ARGUMENT_BYTES:
            raise UpstreamMalformed("tool call over limit")

    def _complete(self, call: Call) -> bool:
        text = read_call(call.name, call.raw())
        if text is None:
            return False
        call.complete(text)
        self._roster.tell(call)
        return True

    def _last_chance(self, call: Call, *, broken_off: bool) -> None:
        """The choice ended: a call is complete now or never. Where the upstream broke off, no arguments are not taken for ``{}``."""
        if (call.size or not broken_off) and self._complete(call):
            return
        if not broken_off:
            raise UpstreamMalformed("the model server sent a tool call whose arguments are not a JSON object")
        self._roster.held -= call.held
        self._roster.unsettled -= 1
        call.drop()
