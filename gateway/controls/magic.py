"""Magic test strings: a documented text per control that makes this control block, so that an application developer can
see what a block looks like without writing anything harmful.

A string works where an attacker gains nothing from it: in new text of the user's own turn, against the sender alone, and not in
the middle of a request of more than a thousand texts. In the answer direction the judge flags as soon as the model has said its
first character.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from gateway.controls.base import AnswerJudge, Context, Control
from gateway.controls.smallest import Flagging
from gateway.exchange import Direction, Exchange, Origin, Piece
from gateway.verdict import Judgement, Outcome, Reason, Verdict, allow

PREFIX: Final = "ASL_GATEWAY_TEST_BLOCK_"
MAGIC: Final[Mapping[str, str]] = MappingProxyType(
    {
        control: PREFIX + control.upper()
        for control in ("halt", "rules", "lexicon", "input_screen", "output_screen", "harm_screen")
    }
)

LOOKED_AT: Final = (
    512  # texts at either end of a request: a test string needs no more, and ten thousand cost a millisecond
)


class WithMagic:
    """A control that also blocks on its own magic string; everything else is the control's."""

    def __init__(self, control: Control) -> None:
        """Raises KeyError for a control without a magic string. ``control`` stays reachable, for what only it can do."""
        self.control = control
        self._magic = MAGIC[control.id]
        self._reason = Reason.SERVING_HALTED if control.id == "halt" else Reason.MAGIC_STRING

    @property
    def id(self) -> str:
        """The control's."""
        return self.control.id

    @property
    def directions(self) -> frozenset[Direction]:
        """The control's."""
        return self.control.directions

    @property
    def inline(self) -> bool:
        """The control's."""
        return self.control.inline

    async def judge_input(self, exchange: Exchange, context: Context) -> Verdict:
        """Block on the magic string, else ask the control."""
        path = self._path(exchange)
        return self._block(path) if path else await self.control.judge_input(exchange, context)

    def open_answer(self, exchange: Exchange, context: Context) -> AnswerJudge:
        """The control's judge; for a magic exchange one that flags the first character."""
        path = self._path(exchange)
        return _FlagsFirstText(self._block(path)) if path else self.control.open_answer(exchange, context)

    async def healthy(self) -> bool:
        """The control's."""
        return await self.control.healthy()

    def _path(self, exchange: Exchange) -> str:
        """The path of the leaf that holds the magic string, or nothing."""
        leaves = exchange.leaves
        for leaf in leaves if len(leaves) <= 2 * LOOKED_AT else (*leaves[:LOOKED_AT], *leaves[-LOOKED_AT:]):
            if leaf.new and leaf.origin is Origin.USER and self._magic in leaf.text:
                return leaf.path
        return ""

    def _block(self, path: str) -> Verdict:
        return Verdict(Outcome.BLOCK, self.control.id, self._reason, detail=path)


class _FlagsFirstText:
    """Blocks the first step that brings text; until then nothing is there to clear."""

    def __init__(self, verdict: Verdict) -> None:
        self._flagging = Flagging(verdict)
        self._waiting = Flagging(allow(verdict.control))
        self._begun = False

    async def step(self, pieces: tuple[Piece, ...]) -> tuple[Judgement, ...]:
        """See the class."""
        self._begun = self._begun or any(piece.text for piece in pieces)
        return await (self._flagging if self._begun else self._waiting).step(pieces)
