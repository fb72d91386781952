"""Guards that answer in words, behind vLLM's OpenAI API: ``/v1/chat/completions`` and ``/v1/completions`` with ``logprobs``.

Documented at docs.vllm.ai ("OpenAI-compatible server"): ``chat_template_kwargs``, ``add_special_tokens`` and
``truncate_prompt_tokens`` are vLLM's own; without the last one a prompt that is too long is refused, never cut.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from classifiers.base import ClassifierInvalid
from classifiers.guards.base import TOP, Answer, Ask, Token
from classifiers.guards.calls import Call, call, decoded
from classifiers.guards.families import FAMILIES
from classifiers.guards.spec import Guard


class _Candidate(msgspec.Struct):
    token: str
    logprob: float


class _Place(msgspec.Struct):
    token: str
    top_logprobs: list[_Candidate]


class _Places(msgspec.Struct):
    content: list[_Place]


class _Message(msgspec.Struct):
    content: str


class _Choice(msgspec.Struct):
    message: _Message
    logprobs: _Places
    finish_reason: str


class _Chat(msgspec.Struct):
    choices: list[_Choice]


class _Lists(msgspec.Struct):
    tokens: list[str]
    top_logprobs: list[dict[str, float]]


class _TextChoice(msgspec.Struct):
    text: str
    logprobs: _Lists
    finish_reason: str


class _Completion(msgspec.Struct):
    choices: list[_TextChoice]


class Words:
    """See the module. One text at a time: a family may have several questions about it."""

    batch = 1

    def __init__(self, guard: Guard) -> None:
        self._guard = guard
        self._family = FAMILIES[guard.family]

    def calls(self, texts: Sequence[str]) -> tuple[Call, ...]:
        """See ``Api.calls``."""
        return tuple(self._call(ask) for text in texts for ask in self._family.asks(text))

    def read(self, replies: Sequence[bytes], texts: int) -> list[tuple[float, ...]]:
        """See ``Api.read``."""
        answers = [self._answer(ask, reply) for ask, reply in zip(self._family.asks(""), replies, strict=True)]
        assert texts == 1
        return [self._guard.scores(self._family.read(answers))]

    def _call(self, ask: Ask) -> Call:
        settings: dict[str, Any] = {"model": self._guard.model, "max_tokens": ask.tokens, "temperature": 0.0}
        if ask.chat is None:
            prompt = {"prompt": ask.prompt, "logprobs": TOP, "add_special_tokens": ask.begin}
            return call("/v1/completions", settings | prompt)
        chat: dict[str, Any] = {
            "messages": [{"role": "user", "content": ask.chat}],
            "logprobs": True,
            "top_logprobs": TOP,
        }
        if ask.template:
            chat["chat_template_kwargs"] = dict(ask.template)
        return call("/v1/chat/completions", settings | chat)

    def _answer(self, ask: Ask, reply: bytes) -> Answer:
        if ask.chat is None:
            text = _only(decoded(reply, _Completion).choices)
            lists = text.logprobs
            if len(lists.tokens) != len(lists.top_logprobs):
                raise ClassifierInvalid("the guard's server gave no probabilities for some tokens")
            places = zip(lists.tokens, lists.top_logprobs, strict=True)
            tokens = tuple(Token(token, _probabilities(found.items())) for token, found in places)
            return Answer(text.text, tokens, text.finish_reason == "stop")
        choice = _only(decoded(reply, _Chat).choices)
        tokens = tuple(
            Token(place.token, _probabilities((found.token, found.logprob) for found in place.top_logprobs))
            for place in choice.logprobs.content
        )
        return Answer(choice.message.content, tokens, choice.finish_reason == "stop")


def _only(choices: list[Any]) -> Any:
    if len(choices) != 1:
        raise ClassifierInvalid(f"the guard's server gave {len(choices)} answers to one question")
    return choices[0]


def _probabilities(found: Iterable[tuple[str, float]]) -> Mapping[str, float]:
    """From logarithms. Raises ClassifierInvalid for one that is no logarithm of a probability."""
    probabilities: dict[str, float] = {}
    for token, logarithm in found:
        if (
            not -math.inf <= logarithm <= 1e-3
        ):  # rounding may leave it a little above 0; neither is what is not a number
            raise ClassifierInvalid("the guard's server gave a logarithm that is of no probability")
        probabilities[token] = probabilities.get(token, 0.0) + math.exp(logarithm)
    return probabilities
