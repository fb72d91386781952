from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from classifiers.base import OverBudget
from classifiers.guards.spans import spans

TEXTS = st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=400)


@given(TEXTS, st.integers(16, 64))
def test_every_character_is_covered(text: str, size: int) -> None:
    """Spans begin at 0, touch or overlap, move on, end at the end, and hold no more bytes than allowed."""
    found = spans(text, size, size * 3 // 4, 1000)
    if not text:
        assert found == ()
        return
    assert (found[0][0], found[-1][1]) == (0, len(text))
    assert all(len(text[start:end].encode()) <= size for start, end in found)
    for before, after in itertools.pairwise(found):
        assert before[0] < after[0] <= before[1] < after[1]


def test_the_limit_is_exact() -> None:
    """As many as there are may be; one fewer is over budget, said with the count that was reached."""
    text = "x" * 1000
    needed = len(spans(text, 100, 75, 1000))
    assert len(spans(text, 100, 75, needed)) == needed == 13
    with pytest.raises(OverBudget) as refused:
        spans(text, 100, 75, needed - 1)
    assert (refused.value.windows, refused.value.budget) == (needed, needed - 1)


def test_a_short_text_is_one_span() -> None:
    """What fits is not cut, at the byte."""
    assert spans("é" * 50, 100, 75, 1) == ((0, 50),)
    assert len(spans("é" * 51, 100, 75, 9)) == 2
