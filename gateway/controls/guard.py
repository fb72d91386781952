"""A guard model of another maker as one control, for prompts and for answers, under a name of its own.

The work is that of the two screens; this gives it its name, so that thresholds, groups and shadow of a profile mean the guard.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from msgspec import structs

from classifiers.base import Classifier
from gateway.controls.base import AnswerJudge, Context
from gateway.controls.input_screen import InputScreen
from gateway.controls.output_screen import ID as SCREEN
from gateway.controls.output_screen import OutputScreen
from gateway.controls.scale import answers
from gateway.exchange import Direction, Exchange, Piece
from gateway.terms import Group, Terms
from gateway.verdict import Judgement, Verdict


class Guard:
    """Blocks where the score of one of ``categories`` reaches its threshold."""

    inline = False
    directions = frozenset(Direction)

    def __init__(self, classifier: Classifier, name: str, categories: Sequence[str]) -> None:
        self.id = name
        self._classifier = classifier
        self._input = InputScreen(classifier, name, categories)
        self._output = OutputScreen(classifier, categories)

    async def judge_input(self, exchange: Exchange, context: Context) -> Verdict:
        """As ``InputScreen``."""
        return await self._input.judge_input(exchange, context)

    def open_answer(self, exchange: Exchange, context: Context) -> AnswerJudge:
        """As ``OutputScreen``."""
        return _Named(self.id, self._output.open_answer(exchange, replace(context, terms=self._terms(context.terms))))

    async def healthy(self) -> bool:
        """Whether the model scores now."""
        return await answers(self._classifier)

    def _terms(self, terms: Terms) -> Terms:
        """The terms as the output screen would see them if it had this name."""
        thresholds = frozenset((SCREEN, value) for name, value in terms.thresholds if name == self.id)
        groups = frozenset(self._group(group) for group in terms.groups if self.id in group.members)
        return replace(terms, thresholds=thresholds, groups=groups)

    def _group(self, group: Group) -> Group:
        return replace(group, members=(SCREEN,))


class _Named:
    """A judge whose verdicts are the guard's."""

    def __init__(self, name: str, judge: AnswerJudge) -> None:
        self._name = name
        self._judge = judge

    async def step(self, pieces: tuple[Piece, ...]) -> tuple[Judgement, ...]:
        """As the judge's."""
        judgements = await self._judge.step(pieces)
        return tuple(
            structs.replace(one, verdict=structs.replace(one.verdict, control=self._name)) for one in judgements
        )
