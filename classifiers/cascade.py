"""Stages: what an earlier, cheaper one settles, a later, dearer one does not look at.

=============  ==============================================  ===============================================================
stage          looks at                                        its word
=============  ==============================================  ===============================================================
zero           every window                                    clears what is plainly ordinary; a cleared window keeps stage
                                                               zero's score, which is below *near* of every category
encoder        windows that zero does not clear                their score
second         texts with a window that is *near* and not      the window's logit is ``FIRST_SHARE`` of the encoder's plus
               certain                                         ``SECOND_SHARE`` of the second's
=============  ==============================================  ===============================================================

Every step is monotone: a higher score of any stage never lowers the result. Zero and the encoder are one ``Engine``
(``StagedEngine``), which shares the tokens and runs in threads and in screener processes alike. The second stage is any
``Classifier`` (``Cascade``), a remote guard model for instance. Where the second fails or is too slow, so does the cascade, and
the control's substitute judges: an uncertain text is never released on half a judgement.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from classifiers.base import Card, Classifier, ClassifierInvalid, ClassifierTimeout, Health, OverBudget, Scored, Window
from classifiers.job import Engine
from classifiers.stage_zero import StageZero
from classifiers.windows import Planned

FIRST_SHARE: Final = 0.5
SECOND_SHARE: Final = 0.5
# From here on the first stage is certain; the second would only cost time.
CERTAIN: Final = 0.98
SECOND_WINDOWS: Final = 512
_EDGE: Final = 1e-6  # of scores, so that their logits are finite


class StagedEngine:
    """Stage zero before an engine: ``plan`` settles what zero clears, ``infer`` is asked for the rest only."""

    def __init__(self, zero: StageZero, engine: Engine) -> None:
        self._zero = zero
        self._engine = engine

    def plan(self, text: str, limit: int) -> Planned:
        """See ``Engine.plan``. The budget counts all windows, cleared ones too."""
        planned = self._engine.plan(text, limit)
        return replace(planned, spans=self._zero.settle(planned.spans))

    def infer(self, ids: Sequence[int]) -> tuple[float, ...]:
        """See ``Engine.infer``."""
        return self._engine.infer(ids)


class Cascade:
    """A ``Classifier`` that asks a second one about what the first is not certain of. Card, windows and offsets are the first's."""

    def __init__(self, first: Classifier, second: Classifier) -> None:
        """Raises ValueError where they share no category."""
        self._first = first
        self._second = second
        self._shared = [
            (index, second.card.categories.index(name), near(first.card, name))
            for index, name in enumerate(first.card.categories)
            if name in second.card.categories
        ]
        if not self._shared:
            raise ValueError(f"{first.card.id} and {second.card.id} share no category")
        self._asked = 0

    @property
    def card(self) -> Card:
        """The first stage's."""
        return self._first.card

    @property
    def health(self) -> Health:
        """The first stage's, unfit where the second is: then uncertain texts cannot be judged."""
        health = self._first.health
        return replace(health, fit=health.fit and self._second.health.fit, second=self._asked)

    async def start(self) -> None:
        """See ``Classifier.start``."""
        await self._first.start()
        await self._second.start()

    async def close(self) -> None:
        """See ``Classifier.close``."""
        try:
            await self._second.close()
        finally:
            await self._first.close()

    async def score(
        self, messages: Sequence[str], *, budget: int, seconds: float, partition: str = ""
    ) -> tuple[Scored, ...]:
        """See ``Classifier.score``. ``seconds`` is for both stages together."""
        ends = time.monotonic() + seconds
        scored = list(await self._first.score(messages, budget=budget, seconds=seconds, partition=partition))
        unsure = [index for index, one in enumerate(scored) if self._is_unsure(one)]
        if not unsure:
            return tuple(scored)
        left = ends - time.monotonic()
        if left <= 0:
            raise ClassifierTimeout("no time was left for the second stage")
        texts = [messages[index] for index in unsure]
        try:
            answers = await self._second.score(texts, budget=SECOND_WINDOWS, seconds=left, partition=partition)
        except OverBudget as error:  # of ours, not the caller's: nobody may be told to shorten a text for it
            raise ClassifierInvalid("the second stage was asked for too much") from error
        if len(answers) != len(unsure):
            raise ClassifierInvalid(f"the second stage has {len(answers)} results for {len(unsure)} texts")
        self._asked += len(unsure)
        for index, answer in zip(unsure, answers, strict=True):
            scored[index] = self._combined(scored[index], answer)
        return tuple(scored)

    def _is_unsure(self, scored: Scored) -> bool:
        return any(near <= scored.peak(index) < CERTAIN for index, _, near in self._shared)

    def _combined(self, scored: Scored, answer: Scored) -> Scored:
        return replace(scored, windows=tuple(self._window(window, answer) for window in scored.windows))

    def _window(self, window: Window, answer: Scored) -> Window:
        """The window with what the second says of the stretch that it covers. Raises ClassifierInvalid where that is nothing."""
        over = [one for one in answer.windows if one.start < window.end and one.end > window.start]
        if not over and window.end > window.start:
            raise ClassifierInvalid("the second stage left a gap")
        scores = list(window.scores)
        for index, other, near in self._shared:
            if near <= scores[index] < CERTAIN and over:
                both = combine(scores[index], max(one.scores[other] for one in over))
                # Not below what a window can have that is not asked about, so that a higher score never lowers the result.
                scores[index] = max(both, math.nextafter(near, 0.0))
        return replace(window, scores=tuple(scores))


def combine(first: float, second: float) -> float:
    """One score from two, in logits: monotone in both. Raises ClassifierInvalid for what is no number in [0, 1]."""
    if not 0.0 <= second <= 1.0:
        raise ClassifierInvalid("a score of the second stage is no number in [0, 1]")
    logit = FIRST_SHARE * _logit(first) + SECOND_SHARE * _logit(second)
    return 1.0 / (1.0 + math.exp(-logit))


def _logit(score: float) -> float:
    bounded = min(max(score, _EDGE), 1.0 - _EDGE)
    return math.log(bounded / (1.0 - bounded))


def near(card: Card, category: str) -> float:
    """Where a score of this category begins to matter: near, else monitor or block. Raises ValueError without any."""
    for kind in ("near", "monitor", "block"):
        if f"{category}.{kind}" in card.thresholds:
            return card.thresholds[f"{category}.{kind}"]
    raise ValueError(f"classifier {card.id} states no threshold for {category}")
