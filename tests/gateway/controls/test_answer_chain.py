from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.chains import FAULTS, MergingChain, answer_fails_closed, chain_of, passing
from support.control_values import CONTENT, context, cut, exchange, group, piece, terms

from gateway.controls.answer_chain import AnswerChain, Transcript
from gateway.controls.base import AnswerJudge, Context
from gateway.controls.broken import Broken, Fault
from gateway.controls.chain import Chain
from gateway.controls.halt import Halt
from gateway.controls.rulings import AnswerRuling
from gateway.controls.smallest import Smallest
from gateway.exchange import Channel, ChannelKey, Direction, Exchange, Piece
from gateway.terms import Group, OnFailure, Standing, Terms
from gateway.verdict import Judgement, Outcome, Reason, Verdict, allow

OTHER = ChannelKey(0, Channel.REASONING)


class Lagging(Smallest):
    """Clears all but the last ``lag`` characters and flags a word; ``seen`` keeps the pieces of every judge it opened."""

    def __init__(self, name: str, lag: int = 0, word: str = "kestrel", *, inline: bool = True) -> None:
        super().__init__(name, inline=inline)
        self.lag = lag
        self.word = word
        self.seen: list[list[Piece]] = []

    def open_answer(self, exchange: Exchange, context: Context) -> AnswerJudge:
        self.seen.append([])
        return _LaggingJudge(self, self.seen[-1])


class _LaggingJudge:
    def __init__(self, control: Lagging, seen: list[Piece]) -> None:
        self._control = control
        self._seen = seen
        self._texts: dict[ChannelKey, str] = {}

    async def step(self, pieces: tuple[Piece, ...]) -> tuple[Judgement, ...]:
        self._seen.extend(pieces)
        out = []
        for one in pieces:
            text = self._texts[one.key] = self._texts.get(one.key, "") + one.text
            if self._control.word in text:
                out.append(Judgement(one.key, 0, Verdict(Outcome.BLOCK, self._control.id, Reason.RULE_MATCHED)))
            else:
                end = len(text) if one.final else max(0, len(text) - self._control.lag)
                out.append(Judgement(one.key, end, allow(self._control.id)))
        return tuple(out)


def _out(*members: str, name: str = "", on_failure: OnFailure = OnFailure.REFUSE) -> Group:
    return group(*members, name=name, direction=Direction.OUTPUT, on_failure=on_failure, deadline_ms=500)


def _open(given: Terms, *controls: Smallest | Halt, kind: type[Chain] = Chain) -> AnswerChain:
    return chain_of(*controls, kind=kind).open_answer(exchange("hello"), context(given))


def _cleared(ruling: AnswerRuling) -> dict[str, int]:
    return {name: judgement.cleared for name, judgement in ruling.judgements if judgement.key == CONTENT}


@pytest.mark.parametrize("fault", FAULTS)
async def test_every_fault_in_mid_answer_fails_closed(fault: Fault) -> None:
    """Whatever a judge does wrong in mid-answer, nothing more is cleared unless a substitute has judged all of it."""
    await answer_fails_closed(Chain, fault)


async def test_a_chain_that_merges_could_not_evaluate_into_allow_is_found_out() -> None:
    """The check above fails on a chain that breaks design rule 2."""
    with pytest.raises(AssertionError):
        await answer_fails_closed(MergingChain, Fault.RAISES)


async def test_no_group_is_a_refusal() -> None:
    """An answer that nobody is to judge could not be evaluated, and nothing is cleared."""
    ruling = await _open(terms(group("smallest")), Smallest()).step((piece("x"),))
    assert (ruling.verdict.reason, ruling.judgements) == (Reason.NO_JUDGE, ())


async def test_every_group_gives_its_own_frontier() -> None:
    """A step names each group once per channel, inline ones first; the verdict is the worst of all."""
    answer = _open(
        terms(_out("a"), _out("slow"), _out("b")), Lagging("a", 3), Lagging("b"), Lagging("slow", 1, inline=False)
    )
    assert answer.groups == ("a", "b", "slow")
    ruling = await answer.step((piece("Good day"),))
    assert list(_cleared(ruling).items()) == [("a", 5), ("b", 8), ("slow", 7)]
    assert ruling.verdict.outcome is Outcome.ALLOW
    assert [name for name, _ in ruling.seconds] == ["a", "b", "slow"]
    ruling = await answer.step((piece("", 8, final=True),))
    assert set(_cleared(ruling).values()) == {8}


async def test_slow_groups_are_stepped_together() -> None:
    """Two groups that are not inline judge a step at the same time."""
    met = asyncio.Barrier(2)

    class Meets(Smallest):
        def open_answer(self, exchange: Exchange, context: Context) -> AnswerJudge:
            return _Meeting(super().open_answer(exchange, context))

    class _Meeting:
        def __init__(self, judge: AnswerJudge) -> None:
            self._judge = judge

        async def step(self, pieces: tuple[Piece, ...]) -> tuple[Judgement, ...]:
            await met.wait()
            return await self._judge.step(pieces)

    answer = _open(terms(_out("a"), _out("b")), Meets("a", inline=False), Meets("b", inline=False))
    async with asyncio.timeout(30):
        assert _cleared(await answer.step((piece("x"),))) == {"a": 1, "b": 1}


async def test_a_substitute_judges_the_whole_answer() -> None:
    """What the failed judge had passed is judged again: a phrase that began before the failure is found."""
    broken, other = Broken(fault=Fault.NONE, inline=True), Lagging("other")
    answer = _open(terms(_out("broken", "other")), broken, other)
    await answer.step((piece("amber kes"), piece("thinking", key=OTHER)))
    broken.fault = Fault.RAISES
    ruling = await answer.step((piece("trel", 9),))
    assert ruling.verdict.outcome is Outcome.BLOCK
    assert other.seen == [[piece("amber kestrel"), piece("thinking", key=OTHER)]]
    assert {one.key: one.cleared for _, one in ruling.judgements} == {CONTENT: 9, OTHER: 8}


async def test_a_failed_judge_does_not_come_back_in_the_same_answer() -> None:
    """Once a substitute has taken over it stays, and each of its steps is recorded as a substitute's."""
    broken = Broken(fault=Fault.NONE)
    answer = _open(terms(_out("broken", "smallest")), broken, Smallest())
    await answer.step((piece("a"),))
    broken.fault = Fault.RAISES
    await answer.step((piece("b", 1),))
    broken.fault = Fault.NONE
    ruling = await answer.step((piece("c", 2),))
    assert (ruling.substitutes, ruling.failures, ruling.verdict) == (("broken",), (), allow("smallest"))


async def test_a_substitute_that_holds_more_does_not_move_the_frontier_back() -> None:
    """What a healthy judge cleared stays cleared; a stricter substitute only holds what comes after."""
    broken = Broken(fault=Fault.NONE)
    answer = _open(terms(_out("broken", "slow")), broken, Lagging("slow", 4))
    await answer.step((piece("Good "),))
    broken.fault = Fault.RAISES
    assert _cleared(await answer.step((piece("d", 5),))) == {"broken": 5}
    assert _cleared(await answer.step((piece("ay to you", 6),))) == {"broken": 11}


async def test_failing_open_releases_all_channels_and_says_so() -> None:
    """Where the profile says pass and nobody is left, everything is cleared, at every step on the record."""
    broken = Broken(fault=Fault.NONE)
    answer = _open(terms(passing("broken", direction=Direction.OUTPUT)), broken)
    await answer.step((piece("Good "), piece("thinking", key=OTHER)))
    broken.fault = Fault.RAISES
    ruling = await answer.step((piece("day", 5),))
    assert {one.key: one.cleared for _, one in ruling.judgements} == {CONTENT: 8, OTHER: 8}
    assert {one.verdict.outcome for _, one in ruling.judgements} == {ruling.verdict.outcome} == {Outcome.ALLOW}
    assert [one.outcome for one in ruling.verdicts] == [Outcome.COULD_NOT_EVALUATE]
    assert (ruling.passed_open, len(ruling.failures)) == (("g",), 1)
    ruling = await answer.step((piece("!", 8, final=True),))
    assert (_cleared(ruling), ruling.passed_open, ruling.failures) == ({"g": 9}, ("g",), ())


async def test_a_shadow_judge_watches_without_effect() -> None:
    """Its flag is recorded and marked, holds nothing back, and its failure ends only its watching."""
    watcher = Lagging("watcher", 4)
    answer = _open(terms(_out("watcher"), _out("smallest"), shadow=("watcher",)), watcher, Smallest())
    ruling = await answer.step((piece("amber kestrel"),))
    assert _cleared(ruling) == {"smallest": 13, "watcher": 13}
    assert ruling.verdict.outcome is Outcome.ALLOW
    assert [(one.control, one.outcome, one.shadow) for one in ruling.verdicts] == [
        ("smallest", Outcome.ALLOW, False),
        ("watcher", Outcome.BLOCK, True),
    ]
    broken = Broken(inline=True)
    answer = _open(terms(_out("broken", "smallest"), shadow=("broken",)), broken, Smallest())
    for start in (0, 1):
        ruling = await answer.step((piece("x", start),))
        assert (ruling.verdict, ruling.substitutes, len(ruling.failures)) == (allow("smallest"), (), 1 - start)


async def test_a_gap_in_the_text_is_refused() -> None:
    """A piece that does not begin where the channel ended is a fault of the caller, not something to judge."""
    answer = _open(terms(_out("smallest")), Smallest())
    await answer.step((piece("abc"),))
    with pytest.raises(ValueError, match="starts at 4"):
        await answer.step((piece("e", 4),))


async def test_a_step_without_text_clears_nothing() -> None:
    """No piece, no judgement, and nothing breaks."""
    ruling = await _open(terms(_out("smallest")), Smallest()).step(())
    assert (ruling.judgements, ruling.verdict.outcome) == ((), Outcome.ALLOW)


async def test_two_versions_of_a_group_are_both_required() -> None:
    """Joined terms may hold a group twice with different members: each has its own name and its own frontier."""
    given_terms = terms(_out("a", name="g"), _out("b", name="g"))
    answer = _open(given_terms, Lagging("a", 1), Lagging("b", 2))
    assert answer.groups == ("g", "g~2")
    assert _cleared(await answer.step((piece("abc"),))) == {"g": 2, "g~2": 1}


async def test_new_terms_are_applied_to_what_has_been_said() -> None:
    """Inline judges open anew over the whole answer, others go on; frontiers stay, and a halt is seen at once."""
    rules, slow = Lagging("rules", 3), Lagging("slow", 2, inline=False)
    groups = (_out("rules"), _out("slow"), _out("halt"))
    answer = _open(terms(*groups), rules, slow, Halt())
    await answer.step((piece("Good day"), piece("so", key=OTHER, final=True)))
    answer, pieces = answer.reopen(terms(*groups, standing=Standing.HALTED))
    assert pieces == (Piece(CONTENT, 8, "", False), Piece(OTHER, 2, "", True))
    ruling = await answer.step(pieces)
    assert (ruling.verdict.reason, ruling.verdict.control) == (Reason.SERVING_HALTED, "halt")
    assert _cleared(ruling) == {"halt": 8, "rules": 5, "slow": 6}
    assert (len(rules.seen), rules.seen[1][0], len(slow.seen)) == (2, piece("Good day"), 1)


async def test_a_new_threshold_or_group_opens_a_slow_judge_anew() -> None:
    """Where a threshold has changed the judge starts over on all text; a group that was not there starts at zero."""
    slow = Lagging("slow", 2, inline=False)
    answer = _open(terms(_out("slow")), slow, Lagging("more", 7, inline=False))
    await answer.step((piece("Good day"),))
    answer, pieces = answer.reopen(terms(_out("slow"), _out("more"), thresholds=[("slow", 300)]))
    assert _cleared(await answer.step(pieces)) == {"more": 1, "slow": 6}
    assert slow.seen[1] == [piece("Good day")]


@given(
    st.text(alphabet="ab kestrl", max_size=60),
    st.integers(1, 9),
    st.integers(0, 12),
    st.integers(0, 12),
    st.sampled_from(FAULTS[:1] + FAULTS[4:]),
)
def test_frontiers_never_pass_what_was_judged(text: str, size: int, lag: int, breaks: int, fault: Fault) -> None:
    """Whenever the first judge breaks, the group's frontier only grows, never passes the text seen, and stops at a flag."""
    asyncio.run(_frontiers(text, size, lag, breaks, fault))


async def _frontiers(text: str, size: int, lag: int, breaks: int, fault: Fault) -> None:
    broken = Broken(fault=Fault.NONE, inline=True)
    answer = _open(terms(_out("broken", "strict")), broken, Lagging("strict", lag))
    frontier, judged = 0, 0
    for index, one in enumerate(cut(text, size)):
        broken.fault = fault if index >= breaks else Fault.NONE
        ruling = await answer.step((one,))
        now = _cleared(ruling)["broken"]
        end = one.start + len(one.text)
        judged = max(judged, end if index < breaks else end - (0 if one.final else lag))
        assert frontier <= now <= max(judged, 0)
        if ruling.verdict.outcome is not Outcome.ALLOW:
            assert now == frontier
        frontier = now
    assert frontier == len(text) or "kestrel" in text


def test_a_transcript_joins_what_it_was_given() -> None:
    """All text comes out as one piece per channel, with the channel's end, however it went in."""
    transcript = Transcript()
    assert transcript.add((piece("ab"), piece("x", key=OTHER), piece("c", 2))) == {CONTENT: 3, OTHER: 1}
    assert transcript.add((piece("", 3, final=True),)) == {CONTENT: 3}
    assert transcript.whole() == (piece("abc", final=True), piece("x", key=OTHER))
    assert transcript.add((piece("y", 1, key=OTHER),)) == {OTHER: 2}
    assert transcript.whole()[1] == piece("xy", key=OTHER)


def test_a_transcript_of_short_pieces_takes_little_memory() -> None:
    """An answer that came in single tokens is kept in few strings, and comes out as it went in."""
    transcript, text = Transcript(), "".join(f"{index:04d}" for index in range(2000))
    for one in cut(text, 4):
        transcript.add((one,))
    assert len(transcript._texts[CONTENT]) <= 1 + len(text) // 256
    assert transcript.whole() == (piece(text, final=True),)
