"""The hold-back machine: order, frontiers, failing closed, accounting and bounded work."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from support.screening_bench import FLAG
from support.screening_claims import Deaf, Hasty, Lenient, Unheeding, keeps_phrase, runs_clean, runs_flagged, runs_whole
from support.screening_setup import (
    CALL,
    CONTENT,
    REASONING,
    STOP,
    buffered,
    calls_made,
    clear,
    pass_through,
    screen,
    text,
)

from gateway.errors import UpstreamMalformed
from gateway.exchange import (
    AnswerEnd,
    AnswerEvent,
    Channel,
    ChannelKey,
    OpaqueBlock,
    Piece,
    TextDelta,
    ToolCallStart,
    Usage,
)
from gateway.screening import Nonsense, Screening, State
from gateway.screening.choice import PARTS
from gateway.screening.machine import EVENT_WEIGHT
from gateway.screening.parts import CARRY, CHUNK, Tail
from gateway.terms import Hold
from gateway.verdict import Judgement, Outcome, Reason, Verdict, allow, failed

TAPES = st.binary(min_size=20, max_size=400)
THOROUGH = settings(max_examples=500, deadline=None, derandomize=True, database=None)
BROKEN = settings(
    THOROUGH, phases=(Phase.generate,), report_multiple_bugs=False, max_examples=2000
)  # the first failure is enough


# Properties


@THOROUGH
@given(TAPES)
def test_everything_cleared_leaves_exactly_and_in_order(data: bytes) -> None:
    """Released text is at all times an ordered prefix under every frontier, and in the end the whole answer."""
    runs_clean(Screening, data)


@THOROUGH
@given(TAPES)
def test_a_whole_hold_releases_all_at_once(data: bytes) -> None:
    """Under a whole-answer hold nothing leaves before everything does."""
    runs_whole(Screening, data)


@THOROUGH
@given(TAPES)
def test_nothing_leaves_after_a_flag(data: bytes) -> None:
    """After a flag at any moment no event leaves, though judges go on clearing and the upstream goes on sending."""
    runs_flagged(Screening, data)


@THOROUGH
@given(TAPES)
def test_a_phrase_never_leaves_complete(data: bytes) -> None:
    """A judge with a bounded look-back stops a phrase however it is cut up or interrupted."""
    keeps_phrase(Screening, data)


@pytest.mark.parametrize(
    ("claim", "machine"),
    [
        (runs_clean, Lenient),
        (runs_clean, Unheeding),
        (runs_whole, Hasty),
        (runs_flagged, Deaf),
        (keeps_phrase, Deaf),
    ],
)
def test_a_broken_machine_fails_the_property(
    claim: Callable[[type[Screening], bytes], None], machine: type[Screening]
) -> None:
    """Each property notices a machine that is broken on purpose."""
    with pytest.raises(AssertionError):
        BROKEN(given(TAPES)(lambda data: claim(machine, data)))()


def test_the_phrase_property_needs_the_carried_context(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the context that stretches carry over, a phrase broken up by channel changes leaves."""
    monkeypatch.setattr(Tail, "text", lambda _: "")
    with pytest.raises(AssertionError):
        BROKEN(given(TAPES)(lambda data: keeps_phrase(Screening, data)))()


# Order and frontiers


def test_text_leaves_up_to_the_least_frontier() -> None:
    """Two groups: the slower one decides, and the text is split there."""
    screening = screen("rules", "classifier")
    assert screening.feed([text(CONTENT, "one "), text(CONTENT, "two")]) == (Piece(CONTENT, 0, "one two", final=False),)
    screening.report("rules", Judgement(CONTENT, 7, allow("rules")))
    assert screening.release() == ()
    screening.report("classifier", Judgement(CONTENT, 5, allow("classifier")))
    assert screening.release() == (TextDelta(CONTENT, "one t"),)
    assert (screening.scanned, screening.released_bytes, screening.held) == (5, 5, 2)


def test_a_channel_is_final_when_another_follows() -> None:
    """Content after reasoning makes the reasoning final, and waits until its end is judged."""
    screening = screen()
    screening.feed([text(REASONING, "think")])
    screening.report("rules", Judgement(REASONING, 5, allow("rules")))
    assert screening.release() == (TextDelta(REASONING, "think"),)
    pieces = screening.feed([text(CONTENT, "say")])
    assert pieces == (Piece(REASONING, 5, "", final=True), Piece(CONTENT, 0, "say", final=False))
    clear(screening, pieces[1:])
    assert screening.release() == ()
    clear(screening, pieces[:1])
    assert screening.release() == (TextDelta(CONTENT, "say"),)


def test_the_end_waits_for_a_word_on_the_final_piece() -> None:
    """A judge that cleared everything may still flag at the end: under a whole hold nothing has left by then."""
    screening = screen(hold=Hold.WHOLE)
    clear(screening, screening.feed([text(CONTENT, "acrostic")]))
    assert screening.feed([STOP, AnswerEnd()]) == (Piece(CONTENT, 8, "", final=True),)
    assert screening.release() == ()
    screening.report("rules", Judgement(CONTENT, 8, FLAG))
    assert screening.release() == ()
    assert screening.held == 8


def test_choices_do_not_wait_for_each_other() -> None:
    """The text of one choice leaves while another is held; Usage and AnswerEnd wait for both."""
    screening = screen()
    other = ChannelKey(1, Channel.CONTENT)
    usage = Usage(1, 2)
    pieces = screening.feed([text(CONTENT, "a"), text(other, "b"), usage, text(other, "c"), STOP, AnswerEnd()])
    assert [piece.key for piece in pieces] == [CONTENT, other]
    clear(screening, pieces[1:])
    assert screening.release() == (TextDelta(other, "b"), TextDelta(other, "c"))
    clear(screening, pieces[:1])
    assert screening.release() == (TextDelta(CONTENT, "a"), usage, STOP, AnswerEnd())
    assert screening.ended
    assert screening.release() == ()


def test_tightening_holds_what_has_not_left() -> None:
    """A hold that tightens in mid-stream applies at once and never loosens again."""
    screening = screen()
    assert pass_through(screening, text(CONTENT, "out")) == (TextDelta(CONTENT, "out"),)
    screening.tighten(Hold.WHOLE)
    screening.tighten(Hold.ADAPTIVE)
    assert pass_through(screening, text(CONTENT, "in")) == ()
    assert pass_through(screening, STOP, AnswerEnd()) == (TextDelta(CONTENT, "in"), STOP, AnswerEnd())


def test_opaque_blocks_leave_in_their_turn_only_where_allowed() -> None:
    """A signature follows its reasoning; where opaque values may not leave, it is dropped without a trace."""
    block = OpaqueBlock(REASONING, "signature", "s" * 8)
    alone = OpaqueBlock(ChannelKey(0, Channel.REASONING, 1), "redacted", "r")
    events = [text(REASONING, "r"), block, alone, text(CONTENT, "c")]
    assert pass_through(screen(opaque=True), *events) == (
        TextDelta(REASONING, "r"),
        block,
        alone,
        TextDelta(CONTENT, "c"),
    )
    assert pass_through(screen(), *events) == (TextDelta(REASONING, "r"), TextDelta(CONTENT, "c"))


@pytest.mark.parametrize(
    ("events", "message"),
    [
        ([ToolCallStart(CALL, "i", "f"), text(CALL, "{"), STOP], "not a JSON object"),
        ([ToolCallStart(CALL, "i", "f"), text(CALL, "{"), AnswerEnd()], "not a JSON object"),
        ([ToolCallStart(CALL, "i", "f"), text(CALL, "{}"), text(CONTENT, "c"), text(CALL, "x")], "complete"),
        ([ToolCallStart(CALL, "i", "f"), ToolCallStart(CALL, "i", "f")], "twice"),
        ([ToolCallStart(CONTENT, "i", "f")], "wrong channel"),
        ([ToolCallStart(CALL, "i", "")], "without a name"),
        ([text(CALL, "{}")], "not begun"),
        ([ToolCallStart(CALL, "i", "f"), text(CALL, "x" * (256 * 1024 + 1))], "tool call over limit"),
        ([text(ChannelKey(0, Channel.PARAMETER), "p")], "channel"),
        ([STOP, text(CONTENT, "more")], "finished"),
        ([STOP, STOP], "finished"),
        ([AnswerEnd(), text(CONTENT, "more")], "after the end"),
        ([AnswerEnd(), AnswerEnd()], "after the end"),
        ([text(CONTENT, "x" * (1 << 20)), text(CONTENT, "x")], "over limit"),
        ([text(ChannelKey(0, Channel.CONTENT, number), "x") for number in range(PARTS + 1)], "too many parts"),
    ],
)
def test_a_malformed_answer_ends_everything(events: list[AnswerEvent], message: str) -> None:
    """What no dialect sends is refused, and the text that was cleared before does not leave either."""
    screening = screen()
    other = ChannelKey(7, Channel.CONTENT)
    clear(screening, screening.feed([text(other, "c")]))
    with pytest.raises(UpstreamMalformed, match=message):
        screening.feed(events)
    assert screening.state is State.FLAGGED
    assert screening.verdict == failed("screening", Reason.UNREADABLE, "answer")
    assert screening.release() == ()


def test_an_event_of_no_known_kind_ends_everything() -> None:
    """Whatever goes wrong while reading, the state fails closed."""
    screening = screen()
    with pytest.raises(AssertionError):
        screening.feed([object()])  # type: ignore[list-item]  # a kind that the type checker would refuse
    assert screening.state is State.FLAGGED


def test_events_without_text_count_against_the_cap() -> None:
    """A flood of usage events is over the limit too; empty text counts nothing and opens nothing."""
    screening = screen(cap=2 * EVENT_WEIGHT)
    assert screening.feed([text(CONTENT, "")] * 1000 + [Usage(1, 1)] * 2) == ()
    with pytest.raises(UpstreamMalformed):
        screening.feed([Usage(1, 1)])


# Flags, cuts, nonsense


def test_a_flag_in_one_choice_ends_the_answer_for_all() -> None:
    """Text of another choice that was cleared a moment before stays, and nothing later has effect."""
    screening = screen("rules", "classifier")
    other = ChannelKey(1, Channel.CONTENT)
    pieces = screening.feed([text(CONTENT, "good"), text(other, "bad")])
    clear(screening, pieces[:1], "rules", "classifier")
    screening.report("rules", Judgement(other, 0, FLAG))
    clear(screening, pieces, "classifier")
    screening.cut(failed("chain", Reason.CONTROL_TIMED_OUT))
    assert screening.release() == ()
    assert screening.feed([text(CONTENT, "more"), AnswerEnd()]) == ()
    assert screening.release() == ()
    assert (screening.state, screening.verdict, screening.held) == (State.FLAGGED, FLAG, 7)


def test_could_not_evaluate_flags_like_a_block() -> None:
    """Any verdict but allow ends the answer."""
    screening = screen()
    screening.feed([text(CONTENT, "a")])
    verdict = failed("rules", Reason.CONTROL_RAISED)
    screening.report("rules", Judgement(CONTENT, 1, verdict))
    assert screening.release() == ()
    assert screening.verdict is verdict


def test_a_cut_drops_what_was_cleared() -> None:
    """A halt or a disconnect stops text that was cleared and had not left."""
    screening = screen()
    clear(screening, screening.feed([text(CONTENT, "a")]))
    verdict = failed("halt", Reason.SERVING_HALTED)
    screening.cut(verdict)
    assert screening.release() == ()
    assert screening.verdict is verdict
    assert not screening._choices


def test_a_shadow_verdict_flags_nothing() -> None:
    """A control in shadow never changes what happens; its frontier counts."""
    screening = screen()
    screening.feed([text(CONTENT, "a")])
    screening.report("rules", Judgement(CONTENT, 1, Verdict(Outcome.BLOCK, "new", Reason.RULE_MATCHED, shadow=True)))
    assert screening.release() == (TextDelta(CONTENT, "a"),)


@pytest.mark.parametrize(
    ("group", "key", "cleared"),
    [
        ("other", CONTENT, 2),
        ("rules", REASONING, 0),
        ("rules", CONTENT, 5),
        ("rules", CONTENT, 1),
        ("rules", CONTENT, -1),
        ("rules", CONTENT, 3.0),
        ("rules", CONTENT, float("nan")),
    ],
)
def test_a_judge_that_talks_nonsense_ends_the_answer(group: str, key: ChannelKey, cleared: Any) -> None:
    """Unknown groups and channels, frontiers beyond the text, shrinking or no integers: Nonsense, and nothing leaves."""
    screening = screen()
    screening.feed([text(CONTENT, "four")])
    screening.report("rules", Judgement(CONTENT, 2, allow("rules")))
    with pytest.raises(Nonsense):
        screening.report(group, Judgement(key, cleared, allow("rules")))
    assert screening.release() == ()
    assert screening.verdict is not None
    assert (screening.state, screening.verdict.reason) == (State.FLAGGED, Reason.CONTROL_NONSENSE)


def test_an_ended_answer_stays_ended() -> None:
    """Once everything has left, late reports and cuts change nothing; more text from the upstream is refused."""
    screening = screen()
    pass_through(screening, text(CONTENT, "a"), STOP, AnswerEnd())
    screening.report("rules", Judgement(CONTENT, 1, FLAG))
    screening.cut(FLAG)
    assert (screening.state, screening.verdict) == (State.ENDED, None)
    with pytest.raises(UpstreamMalformed):
        screening.feed([text(CONTENT, "b")])
    assert screening.state is State.ENDED


def test_an_answer_without_judges_is_an_error() -> None:
    """No group means that nobody decides."""
    with pytest.raises(ValueError, match="no group"):
        Screening((), hold=Hold.ADAPTIVE, cap=1)


# Work and memory


@pytest.mark.parametrize("lag", [0, 48, 10**9])
def test_work_and_memory_do_not_grow_with_the_answer(lag: int) -> None:
    """A thousand chunks late in a stream take as many calls as a thousand early ones, and buffers hold what waits, no more."""
    screening = screen("rules", "classifier", cap=10**9)
    seen = 0

    def chunks() -> None:
        nonlocal seen
        for _ in range(2048):
            seen += 4
            (piece,) = screening.feed([text(CONTENT, "word")])
            judgement = Judgement(piece.key, max(0, seen - lag), allow("x"))
            screening.report("rules", judgement)
            screening.report("classifier", judgement)
            screening.release()

    chunks()
    early = calls_made(chunks)
    for _ in range(6):
        chunks()
    assert calls_made(chunks) <= early * 1.01
    assert buffered(screening) <= screening.held + 2 * CHUNK + 3 * CARRY


def test_a_whole_answer_in_one_event_is_cleared_in_small_steps_without_copying_it() -> None:
    """A frontier that moves by one character in a huge chunk takes the same few calls as in a small one, and joins what is ready."""

    def steps(size: int) -> int:
        screening = screen("rules", cap=10**9)
        blocker = ToolCallStart(CALL, "i", "f")
        screening.feed([blocker, text(CONTENT, "x" * size)])
        work = calls_made(
            lambda: [screening.report("rules", Judgement(CONTENT, at, allow("x"))) for at in range(1, 513)] and None
        )
        assert len(screening._roster.parts[CONTENT].ready) <= 3
        return work

    assert steps(1_000_000) == steps(1000)


def test_one_character_deltas_are_joined_while_they_wait() -> None:
    """Waiting text costs no object per character."""
    screening = screen()
    for _ in range(4 * CHUNK):
        screening.feed([text(CONTENT, "x")])
    assert len(screening._roster.parts[CONTENT].waiting) == 4
