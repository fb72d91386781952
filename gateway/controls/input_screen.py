"""Screens a request with a classifier: every leaf, decoded view and joined reading, in windows that cover all of it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final

from classifiers.base import Classifier, OverBudget, Scored
from gateway.controls.base import AnswerJudge, Context
from gateway.controls.faults import ControlFault
from gateway.controls.matched import costly
from gateway.controls.readings import readings
from gateway.controls.scale import Mark, Scale, answers, seconds_for
from gateway.exchange import Direction, Exchange
from gateway.verdict import Cause, Outcome, Reason, Verdict, allow

ID: Final = "input_screen"
HARM_ID: Final = "harm_screen"
BLOCKING: Final = ("cbrn",)


class InputScreen:
    """Blocks where a category's score reaches its threshold; the text over ``screen_budget`` is the sender's to shorten.

    ``categories``: those that count, all of the card when empty. A second instance under another id, which a profile keeps
    in shadow, monitors what is not blocked.
    """

    def __init__(self, classifier: Classifier, name: str = ID, categories: Sequence[str] = BLOCKING) -> None:
        self._classifier = classifier
        self._id = name
        self._categories = tuple(categories)

    @property
    def id(self) -> str:
        """As given."""
        return self._id

    @property
    def directions(self) -> frozenset[Direction]:
        """Input."""
        return frozenset({Direction.INPUT})

    @property
    def inline(self) -> bool:
        """Inference takes milliseconds."""
        return False

    async def judge_input(self, exchange: Exchange, context: Context) -> Verdict:
        """Score all readings under one budget. Raises ClassifierError, ValueError (a category that the card does not know)."""
        scale = Scale(self._classifier.card, self._id, self._categories, context.terms)
        # A thread for what would hold the loop: all views of a long prompt, and the marks of thousands of windows.
        long = costly([leaf.text for leaf in exchange.leaves])
        paths = await asyncio.to_thread(readings, exchange) if long else readings(exchange)
        texts = tuple(paths)
        seconds = seconds_for(context.terms.groups, self._id)
        try:
            scored = await self._classifier.score(
                texts, budget=context.terms.screen_budget, seconds=seconds, partition=context.caller.id
            )
        except OverBudget:
            return Verdict(Outcome.COULD_NOT_EVALUATE, self._id, Reason.OVER_BUDGET, Cause.INPUT)
        text, mark = await asyncio.to_thread(_worst, scale, texts, scored) if long else _worst(scale, texts, scored)
        if not mark.flagged:
            return allow(self._id, score=mark.score)
        return Verdict(
            Outcome.BLOCK,
            self._id,
            Reason.CLASSIFIER_FLAGGED,
            category=mark.category,
            detail=paths.get(text, ""),
            score=mark.score,
        )

    def open_answer(self, exchange: Exchange, context: Context) -> AnswerJudge:
        """Raises ControlFault: answers are not this control's."""
        raise ControlFault(Reason.CONTROL_UNAVAILABLE, f"{self._id} judges no answers")

    async def healthy(self) -> bool:
        """Whether the classifier scores now."""
        return await answers(self._classifier)


def _worst(scale: Scale, texts: Sequence[str], scored: Sequence[Scored]) -> tuple[str, Mark]:
    """The text with the most urgent mark. Raises ClassifierInvalid."""
    marks = scale.marks(texts, scored)
    return max(zip(texts, marks, strict=True), key=lambda pair: pair[1].urgency, default=("", scale.nothing))
