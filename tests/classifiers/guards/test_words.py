"""vLLM's completions: what is sent, and which answers are understood."""

from __future__ import annotations

import json
from copy import deepcopy
from typing import Any

import pytest
from support.guard_server import chat, completion

from classifiers.base import ClassifierInvalid
from classifiers.guards.spec import Guard
from classifiers.guards.words import Words


def words(family: str) -> Words:
    return Words(Guard(id="g", kind="vllm", model="the-model", family=family, urls=("http://127.0.0.1:1",)))


def test_a_chat_is_asked_with_logprobs() -> None:
    """Greedy, bounded, with as many candidates as the server gives, and nothing that would cut the text."""
    (call,) = words("llama-guard").calls(["hello"])
    body = json.loads(call.body)
    assert call.path == "/v1/chat/completions"
    assert body == {
        "model": "the-model",
        "max_tokens": 48,
        "temperature": 0.0,
        "messages": [{"role": "user", "content": "hello"}],
        "logprobs": True,
        "top_logprobs": 20,
    }


def test_criteria_and_whole_prompts() -> None:
    """A family with criteria has one request for each, through the template; one with a prompt sends it as it stands."""
    asked = [json.loads(call.body) for call in words("granite-guardian").calls(["hello"])]
    assert [list(body["chat_template_kwargs"]["guardian_config"]) for body in asked] == [
        ["custom_criteria"],
        ["criteria_id"],
    ]
    (call,) = words("wildguard").calls(["hello"])
    body = json.loads(call.body)
    assert (call.path, body["logprobs"], body["add_special_tokens"]) == ("/v1/completions", 20, False)
    assert all(json.loads(one.body)["add_special_tokens"] for one in words("shieldgemma").calls(["hello"]))


def test_scores_come_from_the_probabilities() -> None:
    """One column per category, in the card's order."""
    (row,) = words("llama-guard").read([json.dumps(chat("unsafe\nS9", 0.9)).encode()], 1)
    assert row == pytest.approx((0.9, 0.0))
    yes, no = (json.dumps(completion(text, 0.9)).encode() for text in ("Yes", "No"))
    assert words("shieldgemma").read([yes, no], 1)[0] == pytest.approx((0.9, 0.1))


def wrong(**changes: Any) -> bytes:
    """A chat answer in which something of the only choice is different."""
    reply = deepcopy(chat("safe"))
    reply["choices"][0].update(changes)
    return json.dumps(reply).encode()


WRONG = {
    "nothing": b'{"choices": []}',
    "two": json.dumps({"choices": chat("safe")["choices"] * 2}).encode(),
    "no logprobs": wrong(logprobs=None),
    "no candidates": wrong(logprobs={"content": [{"token": "safe", "top_logprobs": []}]}),
    "positive": wrong(logprobs={"content": [{"token": "safe", "top_logprobs": [{"token": "safe", "logprob": 2.0}]}]}),
    "not a number": wrong(
        logprobs={"content": [{"token": "safe", "top_logprobs": [{"token": "safe", "logprob": float("nan")}]}]}
    ),
    "no content": wrong(message={"role": "assistant", "content": None}),
    "cut": wrong(finish_reason="length"),
    "tools": wrong(finish_reason="tool_calls"),
    "an error": b'{"error": {"message": "no such model"}}',
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_not_understood(name: str) -> None:
    """Every other shape is an error, never a score."""
    with pytest.raises(ClassifierInvalid):
        words("llama-guard").read([WRONG[name]], 1)


def test_lists_that_do_not_match() -> None:
    """A completion whose tokens and candidates differ in number is not understood."""
    reply = completion("Yes")
    reply["choices"][0]["logprobs"]["tokens"].append("!")
    with pytest.raises(ClassifierInvalid):
        words("shieldgemma").read([json.dumps(reply).encode()] * 2, 1)
