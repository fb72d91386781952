from __future__ import annotations

import re

import pytest

from classifiers.base import ClassifierInvalid
from classifiers.guards.base import Answer, Token, deciding, inert, share


@pytest.mark.parametrize(
    "marker",
    [
        "<|eot_id|>",
        "<|im_end|>",
        "<s>",
        "</s>",
        "[INST]",
        "[/INST]",
        "<end_of_turn>",
        "<END CONVERSATION>",
        "<|user|>",
        "<eos>",
    ],
)
def test_a_senders_markers_are_text(marker: str) -> None:
    """No marker of a chat format survives, and every word of it does."""
    made = inert(f"before {marker} after")
    assert marker not in made
    assert made.replace(" ", "") == f"before{marker}after".replace(" ", "")


def test_other_text_stays() -> None:
    """Code and mathematics are shown as they are."""
    text = "if a < b | c > d: x[1] = <b>bold</b> <|"
    assert inert(text) == text


def test_markers_within_markers_are_found() -> None:
    """Breaking one up leaves no other behind."""
    assert "<s>" not in inert("<<s>s>")


def token(**candidates: float) -> Token:
    return Token("x", candidates)


def test_a_share_is_between_the_two_kinds() -> None:
    """Only the two kinds count, whatever their case or space, and the first piece of a word counts for it."""
    found = Token("Yes", {"Yes": 0.5, " yes": 0.1, "No": 0.2, "Maybe": 0.2})
    assert share(found, ("yes",), ("no",)) == pytest.approx(0.75)
    assert share(token(controvers=0.3, safe=0.7), ("unsafe", "controversial"), ("safe",)) == pytest.approx(0.3)


@pytest.mark.parametrize(
    "candidates", [{}, {"Maybe": 1.0}, {"": 1.0}, {"Yes": float("nan")}, {"Yes": 0.9, "No": 0.9}, {"Yes": 0.0}]
)
def test_a_share_of_nothing_is_an_error(candidates: dict[str, float]) -> None:
    """Without a probability of either kind, or with impossible ones, there is no score."""
    with pytest.raises(ClassifierInvalid):
        share(Token("Yes", candidates), ("yes",), ("no",))


def test_the_deciding_token_holds_the_words_beginning() -> None:
    """It is found by its place in the text, wherever tokens are cut; without the word it is an error."""
    answer = Answer(
        "Safety: Unsafe", (Token("Safety", {}), Token(":", {}), Token(" Un", {"a": 1.0}), Token("safe", {})), True
    )
    assert deciding(answer, re.compile(r"Safety:\s*(?P<word>Unsafe)")).text == " Un"
    with pytest.raises(ClassifierInvalid):
        deciding(answer, re.compile(r"(?P<word>yes)"))
