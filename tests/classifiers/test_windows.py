from __future__ import annotations

import re
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from classifiers.windows import RUN_CHARS, SEGMENT_CHARS, count_windows, cut_windows, encodable, segments

ANY_TEXT = st.text(st.characters(codec=None), max_size=400)
LONG_TEXT = st.builds(lambda part, times: part * times, st.text(min_size=1, max_size=12), st.integers(1, 2000))


@given(ANY_TEXT | LONG_TEXT)
def test_pieces_joined_are_the_text(text: str) -> None:
    """Cutting loses nothing, keeps the order, and every piece stands at its offset."""
    pieces = [piece for group in segments(text) for piece in group]
    assert "".join(piece for _, piece in pieces) == text
    assert all(text[offset : offset + len(piece)] == piece for offset, piece in pieces)
    assert all(piece for _, piece in pieces)


@given(ANY_TEXT | LONG_TEXT)
def test_pieces_are_bounded(text: str) -> None:
    """A group stays short for the tokenizer, and no piece holds a run that it would call one unknown word."""
    for group in segments(text):
        assert sum(len(piece) for _, piece in group) <= SEGMENT_CHARS
        for _, piece in group:
            runs = re.findall(r"[^ \t\n\r!-/:-@\[-`{-~]+", piece)
            assert all(len(run) <= RUN_CHARS for run in runs)


def test_groups_end_after_whitespace() -> None:
    """Words are not cut where a space is near."""
    text = "word " * 3000
    assert all(group[-1][1].endswith(" ") for group in segments(text))


@given(ANY_TEXT)
def test_encodable_keeps_offsets(text: str) -> None:
    """Lone surrogates are replaced one for one, and the result can be encoded."""
    safe = encodable(text)
    assert len(safe) == len(text)
    safe.encode()


@given(st.integers(0, 500), st.integers(2, 64), st.data())
def test_windows_cover_and_overlap(tokens: int, size: int, data: st.DataObject) -> None:
    """For any number of tokens: in order, overlapping, complete, of at most ``size`` tokens, as many as counted."""
    stride = data.draw(st.integers(1, size - 1))
    gap = data.draw(st.integers(1, 3))
    starts = [gap * index + 1 for index in range(tokens)]
    length = gap * tokens + 2
    spans = cut_windows(length, range(tokens), starts, size, stride)
    assert len(spans) == count_windows(tokens, size, stride)
    assert (spans[0].start, spans[-1].end) == (0, length)
    assert sorted({token for span in spans for token in span.ids}) == list(range(tokens))
    for span in spans:
        assert len(span.ids) <= size
        assert all(span.start <= starts[token] < span.end for token in span.ids)
    for before, after in pairwise(spans):
        assert before.start < after.start < before.end


def test_any_short_span_is_whole_in_one_window() -> None:
    """What is not longer than the overlap is never split."""
    spans = cut_windows(1000, range(1000), range(1000), 62, 32)
    for start in range(1000 - 30):
        assert any(span.ids[0] <= start and start + 30 <= span.ids[-1] + 1 for span in spans)


def test_empty_text_has_no_windows() -> None:
    """Nothing to screen needs no window."""
    assert cut_windows(0, (), (), 62, 32) == ()
    assert list(segments("")) == []
