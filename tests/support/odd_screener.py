"""A screener process with a small engine, one window per word, that dies, hangs or talks nonsense on command.

A word ending in "-once" does so only in the first process that meets it (a flag file remembers); other words always do.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import MappingProxyType

from classifiers.artefacts import Canaries
from classifiers.base import Card, ClassifierArtefact, OverBudget
from classifiers.frames import Found, Part, frame
from classifiers.job import Sweep
from classifiers.screener import Screener, Weights, boot, run, settle
from classifiers.windows import Planned, Span

CARD = Card("odd", "1", ("cbrn",), MappingProxyType({"cbrn.block": 0.05}), 64, 32, "0" * 64)
CANARIES = Canaries("cbrn", ("ok",), ("forbidden",))


def odd(folder: Path, start: str = "good") -> Callable[[int], list[str]]:
    """The command line of such a process. ``start``: "good", or how the start goes wrong (also with "-once")."""
    return lambda descriptor: boot("support.odd_screener", str(os.getpid()), str(descriptor), str(folder), start)


class Flags:
    """Whether a word acts here."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def act(self, word: str) -> str:
        """What to do; "" for nothing."""
        name, _, once = word.partition("-")
        if once:
            try:
                (self._folder / word).touch(exist_ok=False)
            except FileExistsError:
                return ""
        return name


class OddEngine:
    """Scores a word by its length in percent."""

    def __init__(self, flags: Flags) -> None:
        self.act = ""
        self._flags = flags
        self._words: dict[int, str] = {}

    def plan(self, text: str, limit: int) -> Planned:
        words = text.split(" ") if text else []
        if len(words) > limit:
            raise OverBudget(limit + 1, limit)
        spans, position = [], 0
        for word in words:
            number = len(self._words)
            self._words[number] = word
            end = min(position + len(word) + 1, len(text))
            spans.append(Span(position, end, (number,)))
            position = end
        return Planned(tuple(spans), len(words))

    def infer(self, ids: Sequence[int]) -> tuple[float, ...]:
        word = self._words[ids[0]]
        if word == "slow":
            time.sleep(0.02)
        act = self._flags.act(word) if word.startswith(("die", "hang", "stop", "say")) else ""
        if act == "die":
            os.kill(os.getpid(), signal.SIGKILL)
        elif act == "stop":
            os.kill(os.getpid(), signal.SIGSTOP)
        elif act == "hang":
            threading.Event().wait()
        elif act:
            self.act = act
        return (min(len(word), 100) / 100,)


class OddScreener(Screener):
    """Says what it should not, when the engine met a word for it."""

    engine: OddEngine

    async def _tell(self, number: int, sweep: Sweep) -> None:
        act, self.engine.act = self.engine.act, ""
        spans = [(window.start, window.end, window.scores) for window in sweep.windows]
        if act == "saygarbage":
            self._writer.write(b"\xff" * 64)
        elif act == "saynan":
            self._say(Found(number, sweep.counts, sweep.tokens))
            self._say(Part(number, tuple((start, end, (float("nan"),)) for start, end, _ in spans)))
        elif act == "saygap":
            self._say(Found(number, sweep.counts, sweep.tokens))
            self._say(Part(number, tuple((start + 1, end, scores) for start, end, scores in spans)))
        elif act == "sayless":
            self._say(Found(number, tuple(0 for _ in sweep.counts), sweep.tokens))
        elif act == "saymore":
            self._writer.write(frame(Found(number, sweep.counts, sweep.tokens)))
            self._say(Part(number, tuple(spans * 2)))
        elif act != "saynothing":
            await super()._tell(number, sweep)


def main(arguments: Sequence[str]) -> None:
    """Arguments: the parent's pid, the descriptor, the folder of flags, how the start goes."""
    parent, descriptor, flags = int(arguments[0]), int(arguments[1]), Flags(Path(arguments[2]))
    start = flags.act(arguments[3])
    settle(parent)
    if start == "crash":
        raise SystemExit(1)
    engine = OddEngine(flags)

    def load() -> Weights:
        if start == "refuse":
            raise ClassifierArtefact("not the pinned weights")
        if start == "silent":
            threading.Event().wait()
        if start == "blind":
            engine.infer = lambda ids: (0.0,)  # type: ignore[method-assign]
        digest = "1" * 64 if start == "other" else CARD.digest
        card = Card(CARD.id, CARD.version, CARD.categories, CARD.thresholds, 64, 32, digest)
        return Weights(card, engine)

    def conversation(*parts: object) -> Screener:
        screener = OddScreener(*parts)  # type: ignore[arg-type]
        screener.engine = engine
        return screener

    run(descriptor, load, conversation)
