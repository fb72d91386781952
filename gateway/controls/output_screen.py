"""Screens an answer with a classifier while it is written.

Each channel is scored in steps: first after ``FIRST`` characters, then after each ``STEP`` more (``CALM_STEP`` while scores stay under
half of *near*: the context is most of a window's cost), and at its end, always with ``CONTEXT`` characters of what came before, so that
windows overlap. Below *near* everything scored is cleared. At near or
above it nothing is cleared; the next windows start where the hold began, and if one of them, now larger, falls below near,
the hold ends. Once the hold has grown beyond ``HOLD`` characters it stays: the text up to then will not change its scores
any more. From there only new text is scored, and when the channel ends without having reached the threshold all is cleared.

The work of a step is bounded by the new text and these constants. A short answer can be harmless by itself and harmful to
its question: where the question's own score is near, the head of the answer (up to ``HEAD``) is also scored behind the
question, and blocked if that reaches the threshold. A question that reaches it alone has the whole answer held instead.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from classifiers.base import Classifier, OverBudget
from gateway.controls.base import AnswerJudge, Context
from gateway.controls.faults import ControlFault
from gateway.controls.input_screen import BLOCKING
from gateway.controls.scale import Mark, Scale, answers, seconds_for
from gateway.exchange import ChannelKey, Direction, Exchange, Origin, Piece
from gateway.text.views import views
from gateway.verdict import Cause, Judgement, Outcome, Reason, Verdict, allow

ID: Final = "output_screen"
FIRST: Final = 48
STEP: Final = 64
CALM_STEP: Final = 128
CONTEXT: Final = 240
HOLD: Final = 512
HEAD: Final = 480
QUESTION: Final = 480
SPARE_WINDOWS: Final = 64  # per step, besides those of its new text


class OutputScreen:
    """Blocks where a category's score reaches its threshold; ``categories`` as for ``InputScreen``."""

    def __init__(self, classifier: Classifier, categories: Sequence[str] = BLOCKING) -> None:
        self._classifier = classifier
        self._categories = tuple(categories)

    @property
    def id(self) -> str:
        """``output_screen``."""
        return ID

    @property
    def directions(self) -> frozenset[Direction]:
        """Output."""
        return frozenset({Direction.OUTPUT})

    @property
    def inline(self) -> bool:
        """Inference takes milliseconds."""
        return False

    async def judge_input(self, exchange: Exchange, context: Context) -> Verdict:
        """Raises ControlFault: inputs are not this control's."""
        raise ControlFault(Reason.CONTROL_UNAVAILABLE, f"{ID} judges no inputs")

    def open_answer(self, exchange: Exchange, context: Context) -> AnswerJudge:
        """A judge of one answer. Raises ValueError for a category that the card does not know."""
        scale = Scale(self._classifier.card, ID, self._categories, context.terms)
        seconds = seconds_for(context.terms.groups, ID)
        return ScreenJudge(self._classifier, scale, question(exchange), seconds, context.caller.id)

    async def healthy(self) -> bool:
        """Whether the classifier scores now."""
        return await answers(self._classifier)


def question(exchange: Exchange) -> str:
    """The end of what the user said last, at most ``QUESTION`` characters."""
    last = [leaf.text for leaf in exchange.leaves if leaf.new and leaf.origin is Origin.USER]
    return "\n".join(last)[-QUESTION:]


@dataclass(slots=True)
class _Track:
    """One channel: ``tail`` is its text from ``base`` on; offsets count from the channel's beginning."""

    tail: str = ""
    base: int = 0
    scored: int = 0
    cleared: int = 0
    anchor: int = 0  # where the text begins that the next window must hold, besides its context
    final: bool = False
    stays: bool = False  # held to the end
    calm: bool = False  # the newest score was far from near
    head: str = ""  # the first ``HEAD`` characters
    verdict: Verdict = field(default_factory=lambda: allow(ID))

    @property
    def end(self) -> int:
        return self.base + len(self.tail)

    def add(self, piece: Piece) -> None:
        self.tail += piece.text
        self.head += piece.text[: HEAD - len(self.head)]
        self.final = piece.final

    @property
    def due(self) -> bool:
        """Whether there is enough new text to score, or no more to wait for."""
        new = self.end - self.scored
        enough = FIRST if not self.scored else CALM_STEP if self.calm else STEP
        return self.verdict.outcome is Outcome.ALLOW and (new >= enough or (self.final and new > 0))

    def window(self) -> str:
        """The text to score now: from ``CONTEXT`` before the anchor to the end."""
        return self.tail[max(0, self.anchor - CONTEXT - self.base) :]

    def pass_judgement(self, mark: Mark) -> None:
        """Take the mark of ``window()``: clear, hold or flag."""
        self.scored = self.end
        if mark.flagged:
            self.verdict = Verdict(
                Outcome.BLOCK, ID, Reason.CLASSIFIER_FLAGGED, category=mark.category, detail="answer", score=mark.score
            )
            return
        self.verdict = allow(ID, score=mark.score)
        self.calm = 2 * mark.score < mark.near
        if mark.wary:
            self.stays = self.stays or self.scored - self.anchor > HOLD
        elif not self.stays:
            self.cleared = self.scored
        if self.stays or self.cleared == self.scored:
            self._move_anchor()

    def _move_anchor(self) -> None:
        self.anchor = self.scored
        drop = max(0, self.anchor - CONTEXT - self.base)
        self.tail, self.base = self.tail[drop:], self.base + drop

    def judgement(self, key: ChannelKey) -> Judgement:
        """What is cleared now; all of it once the channel has ended unflagged."""
        if self.final and self.scored == self.end and self.verdict.outcome is Outcome.ALLOW:
            self.cleared = self.end
        return Judgement(key, self.cleared, self.verdict)


class ScreenJudge:
    """Judges one answer; see the module's docstring."""

    def __init__(self, classifier: Classifier, scale: Scale, asked: str, seconds: float, partition: str = "") -> None:
        self._classifier = classifier
        self._scale = scale
        self._asked = asked
        self._asked_mark: Mark | None = None
        self._seconds = seconds
        self._partition = partition
        self._tracks: dict[ChannelKey, _Track] = {}

    async def step(self, pieces: tuple[Piece, ...]) -> tuple[Judgement, ...]:
        """Score the channels that are due, all in one call. Raises ClassifierError."""
        keys = list(dict.fromkeys(piece.key for piece in pieces))
        for piece in pieces:
            self._tracks.setdefault(piece.key, _Track()).add(piece)
        due = [self._tracks[key] for key in keys if self._tracks[key].due]
        if due:
            await self._score(due)
        return tuple([self._tracks[key].judgement(key) for key in keys])

    async def _score(self, due: list[_Track]) -> None:
        try:
            asked, heads = await self._after_question(due)
            marks = await self._window_marks(due)
        except OverBudget:
            for track in due:
                track.verdict = Verdict(Outcome.COULD_NOT_EVALUATE, ID, Reason.OVER_BUDGET, Cause.INPUT)
            return
        for track, mark, head in zip(due, marks, heads, strict=True):
            track.stays = track.stays or asked.flagged
            track.pass_judgement(head if head.flagged and not mark.flagged else mark)

    async def _window_marks(self, due: list[_Track]) -> list[Mark]:
        """The most urgent mark of each channel's window and its decoded views."""
        texts = [[view.text for view in views(track.window())] for track in due]
        flat = iter(await self._marks([text for one in texts for text in one]))
        return [max([next(flat) for _ in one], key=lambda mark: mark.urgency) for one in texts]

    async def _after_question(self, due: list[_Track]) -> tuple[Mark, list[Mark]]:
        """The question's mark, and those of heads of answers behind it: only where it is near, and not flagged by itself."""
        if self._asked_mark is None:
            self._asked_mark = (await self._marks([self._asked]))[0] if self._asked.strip() else self._scale.nothing
        marks = [self._scale.nothing] * len(due)
        if self._asked_mark.wary and not self._asked_mark.flagged:
            young = [index for index, track in enumerate(due) if track.scored < HEAD]
            texts = [f"{self._asked}\n{due[index].head}" for index in young]
            for index, mark in zip(young, await self._marks(texts), strict=True):
                marks[index] = mark
        return self._asked_mark, marks

    async def _marks(self, texts: list[str]) -> list[Mark]:
        if not texts:
            return []
        # A token is a character at least, so that this is enough for any text and still a bound.
        stride = max(self._classifier.card.stride_tokens, 1)
        budget = SPARE_WINDOWS + sum(2 + len(text) // stride for text in texts)
        scored = await self._classifier.score(
            tuple(texts), budget=budget, seconds=self._seconds, partition=self._partition
        )
        return self._scale.marks(texts, scored)
