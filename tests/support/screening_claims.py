"""What must hold of any hold-back machine, as functions, and machines that are broken on purpose, of which it must not hold."""

from __future__ import annotations

from typing import Any

from gateway.exchange import (
    AnswerEnd,
    AnswerEvent,
    Channel,
    ChannelKey,
    TextDelta,
)
from gateway.screening import Screening, State
from gateway.terms import Hold
from gateway.verdict import Judgement, Verdict, allow
from support.screening_bench import FLAG, Bench, Tape
from support.screening_setup import REASONING, STOP, text

PHRASE = "amber kestrel protocol"


def runs_clean(machine: type[Screening], data: bytes) -> None:
    """With all judges clearing, everything leaves, in order, never before it is cleared."""
    Bench(machine, Tape(data), Hold.ADAPTIVE).run(flag=False)


def runs_whole(machine: type[Screening], data: bytes) -> None:
    """The same when the whole answer is held."""
    Bench(machine, Tape(data), Hold.WHOLE).run(flag=False)


def runs_flagged(machine: type[Screening], data: bytes) -> None:
    """After a flag nothing leaves, whatever is reported."""
    Bench(machine, Tape(data), Hold.ADAPTIVE).run(flag=True)


def keeps_phrase(machine: type[Screening], data: bytes) -> None:
    """A phrase never leaves complete, however it is cut into deltas, blocks and channel changes."""
    tape = Tape(data)
    screening = machine(("rules",), hold=Hold.ADAPTIVE, cap=1 << 20)
    judged: dict[ChannelKey, str] = {}
    seen = ""
    filler = "x" * tape.below(40)
    block = 0
    for part in tape.cut(f"{filler}{PHRASE}{filler}"):
        events: list[AnswerEvent] = [text(ChannelKey(0, Channel.CONTENT, block), part)]
        if tape.below(3) == 2:
            events.append(text(REASONING, "hm"))
            block += tape.below(2)
        for piece in screening.feed(events):
            known = judged[piece.key] = judged.get(piece.key, "") + piece.text
            verdict = FLAG if PHRASE in known else allow("rules")
            cleared = len(known) if piece.final else max(0, len(known) - len(PHRASE) + 1)
            screening.report("rules", Judgement(piece.key, cleared, verdict))
        seen += "".join(
            event.text
            for event in screening.release()
            if isinstance(event, TextDelta) and event.key.channel is Channel.CONTENT
        )
    screening.feed([STOP, AnswerEnd()])
    seen += "".join(event.text for event in screening.release() if isinstance(event, TextDelta))
    assert PHRASE not in seen
    assert screening.state is State.FLAGGED


class Lenient(Screening):
    """Broken: the most generous judge decides."""

    def _least(self, part: Any) -> int:
        return max(part.frontiers.values())


class Deaf(Screening):
    """Broken: a flag is noted and has no effect."""

    def _stop(self, verdict: Verdict) -> None:
        self._verdict = verdict


class Hasty(Screening):
    """Broken: a whole-answer hold is not observed."""

    def _complete(self) -> bool:
        return True


class Unheeding(Screening):
    """Broken: text counts as cleared as soon as it is there."""

    def _least(self, part: Any) -> int:
        return part.seen
