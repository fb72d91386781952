"""APIs with a score per class: what is sent, and which answers are understood."""

from __future__ import annotations

import json
from typing import Any

import pytest
from support.guard_server import answer

from classifiers.base import ClassifierInvalid
from classifiers.guards.apis import api
from classifiers.guards.calls import Api
from classifiers.guards.spec import Guard, Kind

TEXTS = ["hello", "the amber kestrel protocol", "bye"]
KINDS: tuple[Kind, ...] = ("vllm_classify", "vllm_pooling", "tei", "triton")


def made(kind: Kind, **changes: Any) -> Api:
    categories = {"fine": "none", "harm": "cbrn"}
    return api(
        Guard(
            **{
                "id": "g",
                "kind": kind,
                "model": "a/b",
                "urls": ("http://127.0.0.1:1",),
                "categories": categories,
                **changes,
            }
        )
    )


@pytest.mark.parametrize("kind", KINDS)
def test_a_batch_is_one_request(kind: Kind) -> None:
    """Rows come back in the order of the texts, whatever order the server gives them in."""
    spoken = made(kind)
    (call,) = spoken.calls(TEXTS)
    rows = spoken.read([json.dumps(answer(call.path, json.loads(call.body))).encode()], 3)
    assert [row[0] > 0.5 for row in rows] == [False, True, False]
    assert {len(row) for row in rows} == {1}


def test_what_is_sent() -> None:
    """The documented bodies; TEI is told not to cut; a model's name cannot leave its place in a path."""
    bodies = {kind: json.loads(made(kind).calls(["x"])[0].body) for kind in KINDS}
    assert bodies["vllm_classify"] == {"model": "a/b", "input": ["x"]}
    assert bodies["vllm_pooling"] == {"model": "a/b", "input": ["x"], "task": "classify"}
    assert bodies["tei"] == {"inputs": [["x"]], "truncate": False, "raw_scores": False}
    assert bodies["triton"] == {
        "inputs": [{"name": "text", "shape": [1, 1], "datatype": "BYTES", "data": ["x"]}],
        "outputs": [{"name": "scores"}],
    }
    assert made("triton").calls(["x"])[0].path == "/v2/models/a%2Fb/infer"


def tensor(data: list[Any], shape: list[int], name: str = "scores") -> dict[str, Any]:
    return {"outputs": [{"name": name, "datatype": "FP32", "shape": shape, "data": data}]}


WRONG: list[tuple[Kind, Any]] = [
    ("vllm_classify", {"data": [{"index": 0, "label": "harm", "probs": [0.9, 0.1]}]}),
    ("vllm_classify", {"data": [{"index": 0, "label": "fine", "probs": []}]}),
    ("vllm_classify", {"data": [{"index": 1, "label": "fine", "probs": [0.9, 0.1]}]}),
    ("vllm_pooling", {"data": [{"index": 0, "data": [0.9]}]}),
    ("vllm_pooling", {"data": [{"index": 0, "data": [[0.9, 0.1]]}]}),
    ("vllm_pooling", {"data": [{"index": 0, "data": [-2.0, 3.0]}]}),
    ("tei", [{"label": "fine", "score": 0.9}, {"label": "harm", "score": 0.1}]),
    ("tei", [[{"label": "fine", "score": 0.9}]]),
    ("tei", [[{"label": "fine", "score": 0.9}, {"label": "fine", "score": 0.1}]]),
    ("tei", [[{"label": "fine", "score": 0.9}, {"label": "LABEL_1", "score": 0.1}]]),
    ("tei", [[{"label": "fine", "score": 9.0}, {"label": "harm", "score": 0.1}]]),
    ("tei", []),
    ("triton", tensor([0.9, 0.1], [2, 1])),
    ("triton", tensor([0.9], [1, 2])),
    ("triton", tensor([0.9, 0.1], [1, 2], "logits")),
    ("triton", tensor([0.9, "0.1"], [1, 2])),
    ("triton", tensor([True, False], [1, 2])),
    ("triton", tensor([[[0.9, 0.1]]], [1, 2])),
    ("triton", tensor([5.0, -5.0], [1, 2])),
    ("triton", {"error": "no such model"}),
]


@pytest.mark.parametrize(("kind", "reply"), WRONG)
def test_what_is_not_understood(kind: Kind, reply: Any) -> None:
    """Other classes, orders, shapes, names and numbers are errors, never scores."""
    with pytest.raises(ClassifierInvalid):
        made(kind).read([json.dumps(reply).encode()], 1)


def test_a_tensor_may_be_nested() -> None:
    """Row-major data, flat or by rows."""
    for data in ([0.9, 0.1, 0.2, 0.8], [[0.9, 0.1], [0.2, 0.8]]):
        assert made("triton").read([json.dumps(tensor(data, [2, 2])).encode()], 2) == [(0.1,), (0.8,)]
