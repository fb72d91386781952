"""The smallest control there can be: it allows everything. The reference for writing one; no profile may name it."""

from __future__ import annotations

from gateway.controls.base import AnswerJudge, Context
from gateway.exchange import Direction, Exchange, Piece
from gateway.verdict import Judgement, Verdict, allow


class Smallest:
    """Allows every input and clears every answer as it comes."""

    def __init__(self, name: str = "smallest", *, inline: bool = True) -> None:
        self._id = name
        self._inline = inline

    @property
    def id(self) -> str:
        """As given."""
        return self._id

    @property
    def directions(self) -> frozenset[Direction]:
        """Both."""
        return frozenset(Direction)

    @property
    def inline(self) -> bool:
        """As given."""
        return self._inline

    async def judge_input(self, exchange: Exchange, context: Context) -> Verdict:
        """Allow."""
        return allow(self._id)

    def open_answer(self, exchange: Exchange, context: Context) -> AnswerJudge:
        """A judge that clears all text."""
        return Clearing(allow(self._id))

    async def healthy(self) -> bool:
        """Always."""
        return True


class Clearing:
    """A judge that clears all text it is shown, with one verdict for every step."""

    def __init__(self, verdict: Verdict) -> None:
        self._verdict = verdict

    async def step(self, pieces: tuple[Piece, ...]) -> tuple[Judgement, ...]:
        """All text of each channel is cleared."""
        ends = {piece.key: piece.start + len(piece.text) for piece in pieces}
        return tuple([Judgement(key, end, self._verdict) for key, end in ends.items()])


class Flagging:
    """A judge that clears nothing, with one verdict for every step."""

    def __init__(self, verdict: Verdict) -> None:
        self._verdict = verdict

    async def step(self, pieces: tuple[Piece, ...]) -> tuple[Judgement, ...]:
        """Nothing is cleared."""
        return tuple([Judgement(key, 0, self._verdict) for key in dict.fromkeys(piece.key for piece in pieces)])
