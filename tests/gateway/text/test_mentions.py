from __future__ import annotations

import pytest

from gateway.text.mentions import PHRASES, mentions


@pytest.mark.parametrize("text", ["What is a Nerve Agent?", "ＳＡＲＩＮ in the news", "the history of dirty bombs"])
def test_names_are_found(text: str) -> None:
    """Phrases and words are found without regard to case and width."""
    assert mentions(text)


@pytest.mark.parametrize("text", ["", "price changes", "Bake bread with me.", "my nervous agent"])
def test_other_words_are_not(text: str) -> None:
    """Words that only contain or resemble a name are none."""
    assert not mentions(text)


def test_phrases_are_long_enough_for_every_view() -> None:
    """The lossy views match only literals of at least ten letters, so that every phrase has them."""
    assert all(sum(letter.isalpha() for letter in phrase) >= 10 for phrase in PHRASES)
