"""What a guard model is asked and what it answers, whoever runs it; one file beside this one for each family.

A family is asked about one text at a time and answers in words. Scores come from the probabilities of the deciding word,
not from the word alone, so that thresholds mean something. An answer that is not exactly of the documented form is
ClassifierInvalid: it is never taken for "safe".
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final, Protocol

from classifiers.base import ClassifierInvalid

TOP: Final = 20  # candidates per token; vLLM's own limit
NOTHING: Final[Mapping[str, Any]] = MappingProxyType({})
# What stands between turns of some chat format. Typed by a sender it must stay text, or it would end the text to be judged.
_MARKERS: Final = re.compile(
    r"<\|[^<>|]{1,64}\|>|</?s>|<(?:bos|eos|pad)>|<(?:start|end)_of_turn>|\[/?INST\]|<(?:BEGIN|END) [A-Z ]{1,40}>"
)


@dataclass(frozen=True, slots=True)
class Ask:
    """One question. Exactly one of ``chat`` (the text of a user's turn) and ``prompt`` (the whole prompt) is set.

    ``template``: arguments of the model's own chat template. ``tokens``: the most that the answer may have.
    ``begin``: whether the tokenizer puts its first token before a whole prompt.
    """

    tokens: int
    chat: str | None = None
    prompt: str | None = None
    template: Mapping[str, Any] = field(default_factory=lambda: NOTHING)
    begin: bool = True


@dataclass(frozen=True, slots=True)
class Token:
    """One generated token and the probabilities of the likeliest candidates in its place."""

    text: str
    candidates: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Answer:
    """What the model said to one question. ``finished``: it came to its end by itself, not by the limit of tokens."""

    text: str
    tokens: tuple[Token, ...]
    finished: bool


class Family(Protocol):
    """How one family of guard models is asked and read."""

    @property
    def id(self) -> str: ...

    @property
    def labels(self) -> Mapping[str, str]:
        """What the family can find, with the category that each stands for unless the operator says otherwise."""

    def asks(self, text: str) -> tuple[Ask, ...]:
        """The questions about a text."""

    def read(self, answers: Sequence[Answer]) -> Mapping[str, float]:
        """A score in [0, 1] for each label, from one answer per question. Raises ClassifierInvalid."""


def inert(text: str) -> str:
    """The text with the markers of chat formats broken up, so that no tokenizer takes them for its own."""
    return _MARKERS.sub(lambda match: f"{match[0][0]} {match[0][1:]}", text)


def deciding(answer: Answer, pattern: re.Pattern[str]) -> Token:
    """The token in which group ``word`` of the pattern begins. Raises ClassifierInvalid."""
    match = pattern.search("".join(token.text for token in answer.tokens))
    if match is None:
        raise ClassifierInvalid("the guard gave no probabilities of the deciding word")
    wanted, end = match.start("word"), 0
    for token in answer.tokens:
        end += len(token.text)
        if end > wanted:
            return token
    raise AssertionError("a match lies inside the text")


def share(token: Token, wanted: Collection[str], others: Collection[str]) -> float:
    """The probability of ``wanted`` words as a share of both kinds. A candidate may be the first piece of a word.

    Raises ClassifierInvalid: neither kind is among the candidates.
    """
    sums = {True: 0.0, False: 0.0}
    for candidate, probability in token.candidates.items():
        word = candidate.strip().lower()
        kinds = {kind for kind, words in ((True, wanted), (False, others)) if _begins(word, words)}
        if len(kinds) == 1:
            sums[kinds.pop()] += probability
    total = sum(sums.values())
    if not 0.0 < total <= 1.001:  # neither is what is not a number
        raise ClassifierInvalid("the guard's probabilities say nothing about its verdict")
    return min(1.0, sums[True] / total)


def _begins(piece: str, words: Iterable[str]) -> bool:
    return bool(piece) and any(word.startswith(piece) for word in words)


def unknown(family: str, answer: Answer) -> ClassifierInvalid:
    """The error for an answer of another form; it holds no text of the model, which may repeat the sender's."""
    return ClassifierInvalid(f"{family} answered in an unknown form ({len(answer.text)} characters)")
