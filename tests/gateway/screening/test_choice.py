"""One choice: the order of its events and the finality of its parts."""

from __future__ import annotations

import pytest
from support.screening_setup import (
    CALL,
    CONTENT,
    REASONING,
    STOP,
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
    Finish,
    FinishReason,
    OpaqueBlock,
    Piece,
    TextDelta,
    ToolCallStart,
)
from gateway.screening import Nonsense, Screening
from gateway.screening.calls import ARGUMENT_BYTES
from gateway.screening.choice import PARTS, SWITCHES, Choice, Roster
from gateway.screening.parts import CARRY, Part
from gateway.terms import Hold
from gateway.verdict import Judgement, allow


def settle(part: Part) -> None:
    """Clear a part to its end, with a word of every group."""
    part.advance(part.seen)
    part.unheard.clear()
    part.settle()


def drain(choice: Choice, epoch: int = 0) -> list[AnswerEvent]:
    """What leaves now."""
    out: list[AnswerEvent] = []
    choice.drain(epoch, out)
    return out


def test_later_events_wait_for_earlier_ones() -> None:
    """Content that is cleared waits for the reasoning before it, and the finish for both."""
    roster = Roster(("rules",))
    choice = Choice(roster)
    choice.text(TextDelta(REASONING, "r"))
    choice.text(TextDelta(CONTENT, "c"))
    finish = Finish(0, FinishReason.STOP)
    choice.finish(finish)
    settle(roster.parts[CONTENT])
    assert drain(choice) == []
    settle(roster.parts[REASONING])
    assert drain(choice) == [TextDelta(REASONING, "r"), TextDelta(CONTENT, "c"), finish]
    assert roster.held == 0


def test_an_epoch_bounds_what_leaves() -> None:
    """Text that came after a Usage event stays behind it, though it belongs to the same stretch."""
    roster = Roster(("rules",))
    choice = Choice(roster)
    choice.text(TextDelta(CONTENT, "before"))
    roster.epoch += 1
    choice.text(TextDelta(CONTENT, "after"))
    roster.parts[CONTENT].advance(11)
    assert drain(choice, 0) == [TextDelta(CONTENT, "before")]
    assert drain(choice, 1) == [TextDelta(CONTENT, "after")]


def test_pieces_are_told_once_and_joined() -> None:
    """One piece per part with all of its news; then there is none."""
    roster = Roster(("rules",))
    choice = Choice(roster)
    for word in ("a", "b", "c"):
        choice.text(TextDelta(CONTENT, word))
    assert roster.pieces() == (Piece(CONTENT, 0, "abc", final=False),)
    assert roster.pieces() == ()


@pytest.mark.parametrize("reason", [FinishReason.LENGTH, FinishReason.CONTENT_FILTER, FinishReason.REFUSAL])
def test_a_call_that_the_upstream_broke_off_is_dropped(reason: FinishReason) -> None:
    """Where the upstream says that it broke off, half a call is left out and nothing waits for it."""
    roster = Roster(("rules",))
    choice = Choice(roster)
    choice.call(ToolCallStart(CALL, "id", "f"))
    choice.text(TextDelta(CALL, '{"a'))
    choice.finish(Finish(0, reason))
    assert drain(choice) == [Finish(0, reason)]
    assert (roster.held, roster.unsettled) == (0, 0)


def test_interleaved_fragments_are_parsed_twice_at_most(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fragments of parallel calls may alternate a thousand times without being parsed a thousand times."""
    parsed = []
    monkeypatch.setattr("gateway.screening.choice.read_call", lambda name, raw: parsed.append((name, raw)))
    choice = Choice(Roster(("rules",)))
    other = ChannelKey(0, Channel.TOOL_CALL, 1)
    choice.call(ToolCallStart(CALL, "a", "f"))
    choice.call(ToolCallStart(other, "b", "g"))
    for _ in range(1000):
        choice.text(TextDelta(CALL, "["))
        choice.text(TextDelta(other, "["))
    with pytest.raises(UpstreamMalformed):
        choice.finish(Finish(0, FinishReason.STOP))
    assert len(parsed) == 3


def test_parts_are_bounded() -> None:
    """An answer of more parts than any server sends is refused."""
    choice = Choice(Roster(("rules",)))
    for number in range(PARTS):
        choice.text(TextDelta(ChannelKey(0, Channel.CONTENT, number), "x"))
    with pytest.raises(UpstreamMalformed, match="too many parts"):
        choice.text(TextDelta(ChannelKey(0, Channel.CONTENT, PARTS), "x"))


def test_a_channel_taken_up_again_carries_its_context() -> None:
    """Content after a tool call is a new stretch for the judges, under the next key, and the old key for the client."""
    screening = screen()
    clear(screening, screening.feed([text(CONTENT, "before "), ToolCallStart(CALL, "id", "f")]))
    pieces = screening.feed([text(CONTENT, "after")])
    again = ChannelKey(0, Channel.CONTENT, 1)
    assert pieces == (Piece(again, 0, "before after", final=False),)
    clear(screening, pieces)
    assert screening.release() == (TextDelta(CONTENT, "before "),)
    assert pass_through(screening, text(CALL, "{}"), STOP) == (
        ToolCallStart(CALL, "id", "f"),
        TextDelta(CALL, "{}"),
        TextDelta(CONTENT, "after"),
        STOP,
    )
    assert screening.scanned == screening.released_bytes == len("before f{}after")


def test_carried_context_is_bounded() -> None:
    """A new stretch begins with at most the last CARRY characters, over all stretches before it."""
    screening = screen()
    body = "".join(chr(0x4E00 + number) for number in range(3 * CARRY))
    screening.feed([text(CONTENT, body[:10]), text(REASONING, "r"), text(CONTENT, body[10:]), text(REASONING, "r")])
    (first, *_rest) = screening.feed([text(CONTENT, "!")])
    assert first.final  # the second reasoning
    assert _rest[0].text == body[-CARRY:] + "!"


def test_after_many_changes_nothing_is_final_before_the_choice_ends() -> None:
    """An answer that alternates between channels is held, not shown with ever new context, and leaves in order at its end."""
    screening = screen()
    events: list[AnswerEvent] = []
    for number in range(SWITCHES):
        events += [text(CONTENT, str(number % 10)), text(REASONING, "r")]
    pieces = screening.feed(events)
    assert sum(piece.final for piece in pieces) == SWITCHES
    assert not any(piece.final for piece in screening.feed([text(CONTENT, "x"), text(REASONING, "y")]))
    last = screening.feed([STOP])
    assert {piece.key.channel for piece in last} == {Channel.CONTENT, Channel.REASONING}
    clear(screening, (*pieces, *last))
    released = "".join(event.text for event in screening.release() if isinstance(event, TextDelta))
    assert released == "".join(f"{number % 10}r" for number in range(SWITCHES)) + "xy"


# Tool calls


def test_a_call_is_judged_whole_and_sent_as_serialised_here() -> None:
    """Nothing of a call is shown before it is complete; the client gets compact arguments, key order kept."""
    screening = screen()
    assert screening.feed([ToolCallStart(CALL, "id", "send"), text(CALL, '{ "b": "\\u0061",')]) == ()
    (piece,) = screening.feed([text(CALL, ' "a": 1 }'), STOP])
    assert piece == Piece(CALL, 0, "send\na\n1\nb\na", final=True)
    screening.report("rules", Judgement(CALL, 3, allow("rules")))
    assert screening.release() == ()
    assert screening.scanned == 0
    clear(screening, (piece,))
    assert screening.release() == (ToolCallStart(CALL, "id", "send"), TextDelta(CALL, '{"b":"a","a":1}'), STOP)
    assert screening.scanned == screening.released_bytes == len('send{"b":"a","a":1}')


def test_parallel_calls_complete_one_by_one_or_interleaved() -> None:
    """A call that is complete when the next begins leaves early; interleaved ones are complete at the end of the choice."""
    second = ChannelKey(0, Channel.TOOL_CALL, 1)
    screening = screen()
    begun = pass_through(screening, ToolCallStart(CALL, "a", "f"), text(CALL, "{}"), ToolCallStart(second, "b", "g"))
    assert begun == (ToolCallStart(CALL, "a", "f"), TextDelta(CALL, "{}"))
    assert pass_through(screening, text(CALL, " \n"), STOP) == (
        ToolCallStart(second, "b", "g"),
        TextDelta(second, "{}"),
        STOP,
    )
    screening = screen()
    events = [ToolCallStart(CALL, "a", "f"), ToolCallStart(second, "b", "g")]
    events += [text(key, part) for part in ('{"k":', '"v"', "}") for key in (CALL, second)]
    assert pass_through(screening, *events, STOP)[1::2] == (
        TextDelta(CALL, '{"k":"v"}'),
        TextDelta(second, '{"k":"v"}'),
    )


@pytest.mark.parametrize("arguments", ['{"k": "v', ""])
def test_a_call_cut_off_by_the_length_limit_is_left_out(arguments: str) -> None:
    """The client never gets half a call; the finish reason tells it why."""
    screening = screen(hold=Hold.WHOLE)
    finish = Finish(0, FinishReason.LENGTH)
    left = pass_through(screening, ToolCallStart(CALL, "id", "f"), text(CALL, arguments), finish, AnswerEnd())
    assert left == (finish, AnswerEnd())
    assert screening.held == 0


def test_a_tool_call_of_exactly_the_limit_is_judged_and_leaves() -> None:
    """The limit is the largest call that passes; one byte more is refused."""
    frame = '{"a":""}'
    arguments = f'{{"a":"{"x" * (ARGUMENT_BYTES - len(frame))}"}}'
    machine = screen(cap=1 << 21)
    out = pass_through(machine, ToolCallStart(CALL, "i", "f"), text(CALL, arguments), STOP, AnswerEnd())
    assert text(CALL, arguments) in out
    with pytest.raises(UpstreamMalformed, match="tool call over limit"):
        screen(cap=1 << 21).feed([ToolCallStart(CALL, "i", "f"), text(CALL, arguments.replace("x", "xx", 1))])


@pytest.mark.parametrize(
    "event",
    [
        ToolCallStart(CALL, "i", "n" * 100),
        ToolCallStart(CALL, "i" * 100, "n"),
        OpaqueBlock(REASONING, "signature", "s" * 100),
    ],
)
def test_names_ids_and_opaque_values_count_against_the_cap(event: AnswerEvent) -> None:
    """What is not text is held in memory too: with its weight, a hundred characters are more than 160."""
    with pytest.raises(UpstreamMalformed, match="answer over limit"):
        screen(cap=160, opaque=True).feed([event])


def test_an_opaque_block_of_the_open_stretch_does_not_end_it() -> None:
    """A signature belongs to the reasoning before it: the stretch goes on. One of another block is a change, and ends it."""
    machine = screen(opaque=True)
    (first,) = machine.feed([text(REASONING, "a"), OpaqueBlock(REASONING, "signature", "s")])
    assert not first.final
    other = screen(opaque=True)
    (second,) = other.feed([text(REASONING, "a"), OpaqueBlock(ChannelKey(0, Channel.REASONING, 1), "redacted", "r")])
    assert second.final


def test_an_answer_may_begin_with_an_opaque_block() -> None:
    """Redacted thinking before any text leaves in its turn."""
    redacted = OpaqueBlock(REASONING, "redacted", "r")
    out = pass_through(screen(opaque=True), redacted, text(CONTENT, "a"), STOP, AnswerEnd())
    assert out == (redacted, text(CONTENT, "a"), STOP, AnswerEnd())


def test_an_answer_that_alternates_without_end_is_held_and_not_refused() -> None:
    """Beyond the changes that end a stretch, text goes on in the open one: more changes than an answer may have parts are fine."""
    events = [text((CONTENT, REASONING)[turn % 2], "x") for turn in range(PARTS + 2 * SWITCHES)]
    out = pass_through(screen(), *events, STOP, AnswerEnd())
    assert sum(len(event.text) for event in out if isinstance(event, TextDelta)) == len(events)


def test_opaque_blocks_are_dropped_unless_they_may_leave() -> None:
    """Nobody can judge them, so letting them out has to be said."""
    machine = Screening(("rules",), hold=Hold.ADAPTIVE, cap=1000)
    out = pass_through(machine, OpaqueBlock(REASONING, "redacted", "r"), text(CONTENT, "a"), STOP, AnswerEnd())
    assert out == (text(CONTENT, "a"), STOP, AnswerEnd())


def test_nonsense_says_what_it_was() -> None:
    """The exception and the record of it name what a judge got wrong."""
    machine = screen()
    (piece,) = machine.feed([text(CONTENT, "a")])
    with pytest.raises(Nonsense, match=r"^unknown group, channel or frontier$"):
        machine.report("nobody", Judgement(piece.key, 1, allow("x")))
    assert machine.verdict is not None
    assert (machine.verdict.control, machine.verdict.detail) == ("x", "unknown group, channel or frontier")
