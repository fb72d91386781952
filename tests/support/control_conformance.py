"""What every control must do, whatever it looks for. Each check takes a control and a pair of requests and answers."""

from __future__ import annotations

from dataclasses import dataclass

from gateway.controls.base import Context, Control
from gateway.controls.faults import word
from gateway.exchange import Channel, ChannelKey, Direction, Exchange, Piece
from gateway.verdict import Outcome
from support.control_values import CONTENT, cut


@dataclass(frozen=True, slots=True)
class Case:
    """A control with what it must let through and what it must block; the answers are to the benign exchange."""

    control: Control
    context: Context
    benign: Exchange
    blocked: Exchange
    benign_answer: str
    blocked_answer: str
    blocked_context: Context
    answer_exchange: Exchange  # the exchange that the blocked answer belongs to


async def judges_inputs(case: Case) -> None:
    """Benign is allowed, harmful blocked; both words are the control's own, well formed, the same when asked again."""
    if Direction.INPUT not in case.control.directions:
        return
    for _ in range(2):
        allowed = word(await case.control.judge_input(case.benign, case.context), case.control.id)
        assert allowed.outcome is Outcome.ALLOW
        blocked = word(await case.control.judge_input(case.blocked, case.blocked_context), case.control.id)
        assert blocked.outcome is Outcome.BLOCK
        assert all(leaf.text not in blocked.detail for leaf in case.blocked.leaves if leaf.text)


async def clears_a_benign_answer(case: Case, size: int) -> None:
    """Cut in any way, a benign answer is cleared to its end, with a judgement per piece that never moves back or too far."""
    if Direction.OUTPUT not in case.control.directions:
        return
    judge = case.control.open_answer(case.benign, case.context)
    cleared = 0
    for piece in cut(case.benign_answer, size):
        (judgement,) = await judge.step((piece,))
        assert word(judgement.verdict, case.control.id).outcome is Outcome.ALLOW
        assert judgement.key == CONTENT
        assert cleared <= judgement.cleared <= piece.start + len(piece.text)
        cleared = judgement.cleared
    assert cleared == len(case.benign_answer)


async def blocks_a_harmful_answer(case: Case, size: int) -> None:
    """Cut in any way, a harmful answer is flagged, and stays flagged; nothing is cleared from then on."""
    if Direction.OUTPUT not in case.control.directions:
        return
    judge = case.control.open_answer(case.answer_exchange, case.blocked_context)
    cleared, flagged = 0, False
    for piece in cut(case.blocked_answer, size):
        (judgement,) = await judge.step((piece,))
        now = word(judgement.verdict, case.control.id).outcome is Outcome.BLOCK
        assert now or not flagged
        assert not now or judgement.cleared <= cleared
        cleared, flagged = max(cleared, judgement.cleared), now
    assert flagged


async def keeps_channels_apart(case: Case) -> None:
    """Two channels in one step get one judgement each; an empty final piece is answered too."""
    if Direction.OUTPUT not in case.control.directions:
        return
    judge = case.control.open_answer(case.benign, case.context)
    other = ChannelKey(1, Channel.REASONING)
    pieces = (Piece(CONTENT, 0, "Good ", False), Piece(other, 0, "day", True), Piece(CONTENT, 5, "day", False))
    judgements = {judgement.key: judgement for judgement in await judge.step(pieces)}
    assert set(judgements) == {CONTENT, other}
    assert judgements[other].cleared == 3
    (last,) = await judge.step((Piece(CONTENT, 8, "", True),))
    assert last.cleared == 8


async def judges_answers_apart(case: Case) -> None:
    """Two answers that are judged in turns do not see each other's text."""
    if Direction.OUTPUT not in case.control.directions:
        return
    harmful = case.control.open_answer(case.answer_exchange, case.blocked_context)
    benign = case.control.open_answer(case.benign, case.context)
    for one, two in zip(
        cut(case.blocked_answer, 7), cut(case.benign_answer.ljust(len(case.blocked_answer)), 7), strict=False
    ):
        await harmful.step((one,))
        (judgement,) = await benign.step((two,))
        assert judgement.verdict.outcome is Outcome.ALLOW
