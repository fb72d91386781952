"""What all families of guards have in common, checked on their documented answers."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from classifiers.base import ClassifierInvalid
from classifiers.guards.base import Answer, Family, Token
from support.guard_server import tokens


def said(text: str, sure: float = 0.9, *, finished: bool = True) -> Answer:
    """An answer in which the deciding words have probability ``sure``, and their opposites the rest."""
    found = tuple(
        Token(piece, {k: math.exp(v) for k, v in candidates.items()}) for piece, candidates in tokens(text, sure)
    )
    return Answer(text, found, finished)


def refuses(family: Family, *texts: str, questions: int = 1) -> None:
    """None of the texts is taken for an answer, and none is repeated in the error."""
    for text in texts:
        with pytest.raises(ClassifierInvalid) as error:
            family.read([said(text)] * questions)
        assert not text.strip() or text.strip() not in str(error.value)


def refuses_without(family: Family, text: str, *, questions: int = 1, cut: bool = True) -> None:
    """A documented answer is refused without probabilities and, where ``cut`` says so, when it was cut off."""
    whole = said(text)
    assert family.read([whole] * questions)
    for worse in (replace(whole, tokens=()), *([replace(whole, finished=False)] if cut else ())):
        with pytest.raises(ClassifierInvalid):
            family.read([worse] * questions)
