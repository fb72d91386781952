"""The buffers of a stretch and of a call."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.exchange import Channel, ChannelKey, Piece, TextDelta, ToolCallStart
from gateway.screening.calls import CallText
from gateway.screening.parts import CARRY, CHUNK, Call, Stretch, Tail

KEY = ChannelKey(0, Channel.CONTENT)


def stretch(tail: Tail | None = None) -> Stretch:
    """A stretch with one group."""
    return Stretch(KEY, KEY, ("rules",), tail or Tail())


@settings(max_examples=500, deadline=None, derandomize=True, database=None)
@given(st.lists(st.tuples(st.integers(1, 600), st.booleans()), max_size=12), st.lists(st.integers(0, 400), max_size=30))
def test_text_goes_through_unchanged(additions: list[tuple[int, bool]], steps: list[int]) -> None:
    """Cut in any way and cleared in any steps, a text comes out as it went in, counted in bytes, and nothing stays behind."""
    part, whole, least, size, out = stretch(), "", 0, 0, ""
    for number, (count, same_run) in enumerate(additions):
        text = "".join(chr(0x250 + (number + at) % 3000) for at in range(count))
        whole += text
        part.add(text, same_run=same_run)
    for step in [*steps, len(whole)]:
        least = min(len(whole), least + step)
        size += part.advance(least)
        if step % 2:
            out += part.take(part.seen)
            assert out == whole[:least]
    out += part.take(part.seen)
    assert (out, size) == (whole, len(whole.encode()))
    assert not part.waiting
    assert not part.ready


def test_runs_are_not_joined() -> None:
    """Text of a later run waits for its turn, though it is cleared."""
    part = stretch()
    part.add("one", same_run=False)
    part.add("two", same_run=False)
    part.add("three", same_run=True)
    assert part.advance(11) == 11
    assert (part.take(3), part.take(11)) == ("one", "twothree")


def test_carried_context_is_shown_and_never_leaves() -> None:
    """A stretch begins with the tail of the last one; only its own text is counted and released."""
    tail = Tail()
    tail.add("context ")
    part = stretch(tail)
    part.add("text", same_run=False)
    assert part.piece() == Piece(KEY, 0, "context text", final=False)
    assert part.advance(6) == 0
    assert part.take(part.seen) == ""
    assert part.advance(9) == 1
    assert part.take(part.seen) == "t"
    assert tail.text() == "context text"


def test_a_tail_keeps_the_end() -> None:
    """A tail holds the last characters, and never more than a little over twice of them."""
    tail = Tail()
    for number in range(10_000):
        tail.add(chr(0x4E00 + number))
        assert tail._size <= 2 * CARRY
    assert tail.text() == "".join(chr(0x4E00 + number) for number in range(10_000 - CARRY, 10_000))


def test_a_part_settles_once() -> None:
    """Settled is: final, cleared, and every group has spoken since; it is told once."""
    part = stretch()
    part.add("a", same_run=False)
    assert not part.settle()
    part.close()
    assert not part.settle()
    part.unheard.discard("rules")
    assert not part.settle()
    part.advance(1)
    assert part.settle()
    assert not part.settle()


def test_a_call_counts_when_it_is_whole() -> None:
    """Fragments are joined; name and arguments count once all of the judged text is cleared; a dropped call holds nothing."""
    start = ToolCallStart(ChannelKey(0, Channel.TOOL_CALL), "id", "f")
    call = Call(start, ("rules",))
    for _ in range(2 * CHUNK):
        call.add("é")
    assert len(call._fragments) == 2
    assert (call.size, call.held, call.raw()) == (4 * CHUNK, 2 * CHUNK + 1, "é" * 2 * CHUNK)
    call.complete(CallText("{}", "judged"))
    assert call.piece() == Piece(start.key, 0, "judged", final=True)
    assert (call.advance(5), call.advance(6)) == (0, 3)
    assert call.events == (start, TextDelta(start.key, "{}"))
    dropped = Call(start, ("rules",))
    dropped.drop()
    assert (dropped.settled, dropped.held, dropped.events) == (True, 0, ())
