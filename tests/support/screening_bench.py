"""Random answers, random judges and an independent account of what may leave, for the hold-back machine.

Every character of an answer's text occurs once, so that the account needs to know nothing of offsets, keys or carried context:
a character may leave when each group has cleared it, wherever the machine showed it.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from gateway.exchange import (
    AnswerEnd,
    AnswerEvent,
    Channel,
    ChannelKey,
    Finish,
    FinishReason,
    OpaqueBlock,
    Piece,
    TextDelta,
    ToolCallStart,
    Usage,
)
from gateway.screening import Screening, State
from gateway.terms import Hold
from gateway.verdict import Judgement, Outcome, Reason, Verdict, allow

FLAG = Verdict(Outcome.BLOCK, "bench", Reason.RULE_MATCHED)
TEXTS = (Channel.CONTENT, Channel.REASONING, Channel.REFUSAL)
STARTS = (0x100, 0x4E00, 0x20000)  # two, three and four bytes in UTF-8


class Tape:
    """Decisions read from bytes; zero once they are used up, so that shrinking gives small cases."""

    def __init__(self, data: bytes) -> None:
        self._data = iter(data)

    def below(self, limit: int) -> int:
        """A number from 0 to ``limit - 1``."""
        return next(self._data, 0) % limit

    def cut(self, text: str) -> list[str]:
        """The text in pieces of random length, some of them empty."""
        pieces = []
        while text:
            size = self.below(9)
            pieces.append(text[:size] or text[: self.below(2)])
            text = text[len(pieces[-1]) :]
            if not pieces[-1]:
                pieces.append(text[:1])
                text = text[1:]
        return pieces


@dataclass
class Answer:
    """Events as an upstream could send them, and per choice the steps that a client is to see, character by character."""

    events: list[AnswerEvent] = field(default_factory=list)
    steps: dict[int, list[tuple[Any, ...]]] = field(default_factory=lambda: defaultdict(list))
    before_usage: list[set[tuple[Any, ...]]] = field(default_factory=list)
    size: int = 0  # UTF-8 bytes of what is to be released


class Builder:
    """Builds one random answer."""

    def __init__(self, tape: Tape) -> None:
        self._tape = tape
        self._next = 0
        self._answer = Answer()

    def build(self) -> Answer:
        """One to three choices, interleaved, with Usage events in between and AnswerEnd last."""
        tape = self._tape
        streams = [self._choice(number) for number in range(1 + tape.below(3))]
        fed: set[tuple[Any, ...]] = set()
        while streams:
            stream = streams[tape.below(len(streams))]
            if not stream:
                streams.remove(stream)
                continue
            event, step = stream.pop(0)
            self._answer.events.append(event)
            fed.update(step)
            if tape.below(12) == 11:
                self._answer.events.append(Usage(1, len(self._answer.before_usage)))
                self._answer.before_usage.append(set(fed))
        self._answer.events.append(AnswerEnd())
        return self._answer

    def _letters(self, count: int) -> str:
        first, self._next = self._next, self._next + count
        return "".join(chr(STARTS[number % 3] + number) for number in range(first, first + count))

    def _choice(self, number: int) -> list[tuple[AnswerEvent, list[tuple[Any, ...]]]]:
        tape, steps = self._tape, self._answer.steps[number]
        stream: list[tuple[AnswerEvent, list[tuple[Any, ...]]]] = []
        alternating = tape.below(6) == 5
        blocks = tape.below(2)  # one key per block, or one key per channel
        for block in range(80 if alternating else tape.below(6)):
            kind = tape.below(3 if alternating else 6)
            key = ChannelKey(number, TEXTS[kind % 3], block * blocks)
            if kind == 5:
                stream += self._calls(number, block * 2, steps)
                continue
            for text in tape.cut(self._letters(1 + tape.below(3 if alternating else 40))):
                added = [("text", key, letter) for letter in text]
                stream.append((TextDelta(key, text), added))
                steps += added
                self._answer.size += len(text.encode())
            if kind == 1:
                stream.append((OpaqueBlock(key, "signature", f"s{block}"), [("opaque", key, f"s{block}")]))
                steps.append(("opaque", key, f"s{block}"))
        finish = Finish(number, FinishReason.STOP)
        if tape.below(4) == 3:
            key = ChannelKey(number, Channel.TOOL_CALL, 999)
            stream.append((ToolCallStart(key, "cut", "lost"), []))
            stream.append((TextDelta(key, '{"text": "' + self._letters(2)), []))
            finish = Finish(number, FinishReason.LENGTH)
        stream.append((finish, [("finish", finish)]))
        steps.append(("finish", finish))
        return stream

    def _calls(
        self, number: int, index: int, steps: list[tuple[Any, ...]]
    ) -> list[tuple[AnswerEvent, list[tuple[Any, ...]]]]:
        """One call, or two whose fragments interleave."""
        tape = self._tape
        starts: list[tuple[AnswerEvent, list[tuple[Any, ...]]]] = []
        queues = []
        for offset in range(1 + tape.below(2)):
            key = ChannelKey(number, Channel.TOOL_CALL, index + offset)
            tree = {self._letters(1): self._letters(tape.below(6)), "list": [self._letters(2), 7, None, {"x": 'a"b'}]}
            raw = json.dumps(tree, ensure_ascii=bool(tape.below(2)))
            sent = json.dumps(tree, ensure_ascii=False, separators=(",", ":"))
            step = ("call", key, f"call_{key.index}", f"tool_{offset}", sent)
            starts.append((ToolCallStart(key, f"call_{key.index}", f"tool_{offset}"), []))
            fragments: list[tuple[AnswerEvent, list[tuple[Any, ...]]]] = [
                (TextDelta(key, text), []) for text in tape.cut(raw)
            ]
            fragments[-1] = (fragments[-1][0], [step])
            queues.append(fragments)
            steps.append(step)
            self._answer.size += len(f"tool_{offset}{sent}".encode())
        while any(queues):
            starts.append((queues[tape.below(len(queues))] or max(queues, key=len)).pop(0))
        return starts


def flatten(events: Sequence[AnswerEvent]) -> Iterator[tuple[int, tuple[Any, ...]]]:
    """What a client sees, step by step, each with its choice; -1 for Usage and AnswerEnd."""
    waiting = iter(events)
    for event in waiting:
        if isinstance(event, TextDelta):
            assert event.key.channel is not Channel.TOOL_CALL, "arguments without their call"
            yield from ((event.key.choice, ("text", event.key, letter)) for letter in event.text)
        elif isinstance(event, ToolCallStart):
            arguments = next(waiting)
            assert isinstance(arguments, TextDelta)
            assert arguments.key == event.key
            yield event.key.choice, ("call", event.key, event.call_id, event.name, arguments.text)
        elif isinstance(event, OpaqueBlock):
            yield event.key.choice, ("opaque", event.key, event.data)
        elif isinstance(event, Finish):
            yield event.choice, ("finish", event)
        else:
            yield -1, ("end", event)


class Judge:
    """Clears all but the last ``lag`` characters of what it has read, and everything of a final part."""

    def __init__(self, lag: int) -> None:
        self._lag = lag
        self._texts: dict[ChannelKey, str] = {}
        self._cleared: dict[ChannelKey, int] = {}
        self.inbox: list[Piece] = []
        self.letters: set[str] = set()  # every character that it has cleared
        self.calls: set[ChannelKey] = set()

    def step(self) -> Judgement:
        """Read one piece."""
        piece = self.inbox.pop(0)
        text = self._texts.get(piece.key, "")
        assert piece.start == len(text), "pieces join without gaps"
        text = self._texts[piece.key] = text + piece.text
        cleared = len(text) if piece.final else max(self._cleared.get(piece.key, 0), len(text) - self._lag)
        self._cleared[piece.key] = cleared
        self.letters.update(text[:cleared])
        if piece.key.channel is Channel.TOOL_CALL:
            self.calls.add(piece.key)
        return Judgement(piece.key, cleared, allow("bench"))


class Bench:
    """Runs a machine over an answer with lagging judges, and checks after every step what has left."""

    def __init__(self, machine: type[Screening], tape: Tape, hold: Hold) -> None:
        self._tape = tape
        self._answer = Builder(tape).build()
        self._judges = {f"group{number}": Judge(tape.below(14)) for number in range(1 + tape.below(3))}
        self._hold = hold
        self._screening = machine(tuple(self._judges), hold=hold, cap=1 << 20, opaque=True)
        self._left: dict[int, int] = defaultdict(int)  # steps per choice that have left
        self._out: set[tuple[Any, ...]] = set()
        self._usages = 0
        self._stopped = False

    def run(self, *, flag: bool) -> None:
        """The whole answer; with ``flag``, a judge flags somewhere on the way."""
        events = list(self._answer.events)
        moment = self._tape.below(1 + len(events) // 2) if flag else -1
        turn = 0
        while events or any(judge.inbox for judge in self._judges.values()):
            if turn == moment:
                self._flag()
            turn += 1
            count = 1 + self._tape.below(4)
            self._feed(events[:count])
            del events[:count]
            for name, judge in self._judges.items():
                self._judge(name, judge, len(judge.inbox) if not events else self._tape.below(3))
            self._release()
        if not flag:
            self._check_whole()

    def _feed(self, events: list[AnswerEvent]) -> None:
        pieces = self._screening.feed(events)
        for judge in self._judges.values():
            judge.inbox += pieces

    def _judge(self, name: str, judge: Judge, steps: int) -> None:
        for _ in range(min(steps, len(judge.inbox))):
            self._screening.report(name, judge.step())

    def _flag(self) -> None:
        name = list(self._judges)[self._tape.below(len(self._judges))]
        self._screening.report(name, Judgement(ChannelKey(0, Channel.CONTENT), 0, FLAG))
        self._stopped = True

    def _release(self) -> None:
        events = self._screening.release()
        assert not (self._stopped and events), "nothing leaves after a flag"
        for choice, step in flatten(events):
            if choice < 0:
                self._check_end(step[1])
                continue
            assert self._answer.steps[choice][self._left[choice]] == step, (
                "what left is a prefix of the answer, in its order"
            )
            self._left[choice] += 1
            self._out.add(step)
            self._check_cleared(step)
        if self._hold is Hold.WHOLE:
            assert not events or isinstance(events[-1], AnswerEnd), "a whole answer leaves at once"
        if not self._stopped:
            assert self._screening.scanned == self._cleared_bytes(), "scanned counts what all groups cleared"
            assert self._screening.scanned >= self._screening.released_bytes

    def _check_cleared(self, step: tuple[Any, ...]) -> None:
        for judge in self._judges.values():
            if step[0] == "text":
                assert step[2] in judge.letters, "a character left before a group had cleared it"
            elif step[0] == "call":
                assert step[1] in judge.calls, "a call left before a group had cleared it"

    def _check_end(self, event: AnswerEvent) -> None:
        if isinstance(event, Usage):
            assert event.completion == self._usages
            assert self._answer.before_usage[self._usages] <= self._out, "usage waits for everything before it"
            self._usages += 1
        else:
            assert all(self._left[choice] == len(steps) for choice, steps in self._answer.steps.items())
            assert self._usages == len(self._answer.before_usage)

    def _cleared_bytes(self) -> int:
        letters = set.intersection(*(judge.letters for judge in self._judges.values()))
        calls = set.intersection(*(judge.calls for judge in self._judges.values()))
        size = 0
        for step in (step for steps in self._answer.steps.values() for step in steps):
            if step[0] == "text" and step[2] in letters:
                size += len(step[2].encode())
            elif step[0] == "call" and step[1] in calls:
                size += len((step[3] + step[4]).encode())
        return size

    def _check_whole(self) -> None:
        screening = self._screening
        assert screening.state is State.ENDED, "all judges cleared everything, so everything leaves"
        assert screening.held == 0
        assert screening.scanned == screening.released_bytes == self._answer.size
