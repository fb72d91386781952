"""A classifier without a model, with the real interface: scores by keyword, and can be told to misbehave."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Literal

from classifiers.base import (
    Card,
    ClassifierTimeout,
    ClassifierUnavailable,
    Health,
    Loss,
    OverBudget,
    Scored,
    Window,
)
from classifiers.windows import cut_windows

Mode = Literal["ok", "raise", "hang", "nonsense"]
SIZE, STRIDE = 16, 8

FAKE_CARD = Card(
    id="fake",
    version="1",
    categories=("cbrn", "other_harm"),
    thresholds=MappingProxyType({"cbrn.near": 0.5, "cbrn.block": 0.8, "other_harm.monitor": 0.8}),
    window_tokens=SIZE,
    stride_tokens=STRIDE,
    digest="0" * 64,
)


def by_keyword(
    scores: Mapping[str, tuple[float, ...]], default: tuple[float, ...]
) -> Callable[[str], tuple[float, ...]]:
    """A scorer that answers with the entry of the first keyword in a window, compared without case."""

    def score(text: str) -> tuple[float, ...]:
        lowered = text.lower()
        return next((value for keyword, value in scores.items() if keyword.lower() in lowered), default)

    return score


KESTREL = by_keyword({"amber kestrel protocol": (0.99, 0.1), "near kestrel": (0.6, 0.1)}, (0.01, 0.01))


class FakeClassifier:
    """Tokens are words. ``mode`` may be changed at any time; ``calls`` keeps the messages of every ``score``.

    ``patience``: seconds after which a hanging score gives up, where the caller would wait longer.
    """

    def __init__(
        self, scorer: Callable[[str], tuple[float, ...]] = KESTREL, *, card: Card = FAKE_CARD, mode: Mode = "ok"
    ) -> None:
        self.mode: Mode = mode
        self.calls: list[tuple[str, ...]] = []
        self.partitions: list[str] = []
        self.patience: float | None = None
        self._scorer = scorer
        self._card = card
        self._running = False

    @property
    def card(self) -> Card:
        return self._card

    @property
    def health(self) -> Health:
        return Health(int(self._running), 1, self._running, dict.fromkeys(Loss, 0))

    async def start(self) -> None:
        if self.mode == "raise":
            raise ClassifierUnavailable("told to raise")
        self._running = True

    async def score(
        self, messages: Sequence[str], *, budget: int, seconds: float, partition: str = ""
    ) -> tuple[Scored, ...]:
        if not self._running:
            raise ClassifierUnavailable("not started")
        self.calls.append(tuple(messages))
        self.partitions.append(partition)
        if self.mode == "raise":
            raise ClassifierUnavailable("told to raise")
        if self.mode == "hang":
            await self._hang(min(seconds, self.patience or seconds))
        scored = tuple(self._scored(message) for message in messages)
        needed = sum(len(one.windows) for one in scored)
        if needed > budget:
            raise OverBudget(needed, budget)
        if seconds <= 0:
            raise ClassifierTimeout("no time")
        return scored

    async def close(self) -> None:
        self._running = False

    async def _hang(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await asyncio.Event().wait()
        except TimeoutError:
            raise ClassifierTimeout("told to hang") from None

    def _scored(self, message: str) -> Scored:
        starts = [match.start() for match in re.finditer(r"\S+", message)]
        spans = cut_windows(len(message), range(len(starts)), starts, SIZE, STRIDE)
        return Scored(
            tuple(Window(span.start, span.end, self._scores(message[span.start : span.end])) for span in spans),
            len(starts),
        )

    def _scores(self, text: str) -> tuple[float, ...]:
        return (float("nan"), 7.0) if self.mode == "nonsense" else self._scorer(text)
