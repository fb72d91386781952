"""An engine for the workers, one window per word, that blocks, fails or dies on command."""

from __future__ import annotations

import threading
from collections.abc import Sequence

from classifiers.base import ClassifierInvalid, OverBudget
from classifiers.windows import Planned, Span


class FakeEngine:
    """The words of a text decide what happens.

    "block" and "blockdie" wait for ``gate``; "raise", "invalid", "die" and "blockdie" fail; "nan", "few" and "big" give
    nonsense; any other word scores its length in percent.
    """

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.blocked = threading.Semaphore(0)
        self.inferred: list[str] = []
        self._words: dict[int, str] = {}

    def plan(self, text: str, limit: int) -> Planned:
        words = text.split(" ") if text else []
        if len(words) > limit:
            raise OverBudget(limit + 1, limit)
        if "unplannable" in words:
            raise RuntimeError("no plan")
        spans = []
        position = 0
        for word in words:
            self._words[hash(word)] = word
            spans.append(Span(position, position + len(word) + 1, (hash(word),)))
            position += len(word) + 1
        return Planned(tuple(spans), len(words))

    def infer(self, ids: Sequence[int]) -> tuple[float, ...]:
        word = self._words[ids[0]]
        self.inferred.append(word)
        if word.startswith("block"):
            self.blocked.release()
            self.gate.wait(30)
        if word == "raise":
            raise RuntimeError("foreign")
        if word == "invalid":
            raise ClassifierInvalid("own")
        if word.endswith("die"):
            raise SystemExit
        nonsense = {"nan": (float("nan"),), "few": (), "big": (1.5,)}
        return nonsense.get(word, (min(len(word), 100) / 100,))


class NumberedEngine(FakeEngine):
    """The same with small numbers for words, as a tokenizer has them."""

    def plan(self, text: str, limit: int) -> Planned:
        planned = super().plan(text, limit)
        spans = []
        for span in planned.spans:
            number = span.ids[0] % 10_007
            self._words[number] = self._words[span.ids[0]]
            spans.append(Span(span.start, span.end, (number,)))
        return Planned(tuple(spans), planned.tokens)
