from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from classifiers.guards.spec import Guard

REMOTE: dict[str, Any] = {
    "id": "g",
    "kind": "vllm",
    "model": "m",
    "family": "llama-guard",
    "urls": ("http://127.0.0.1:1",),
}
CLASSES: dict[str, Any] = {
    "id": "g",
    "kind": "tei",
    "urls": ("http://127.0.0.1:1",),
    "categories": {"ok": "none", "bad": "cbrn"},
}
PINNED: dict[str, Any] = {"folder": "/m", "pins": {"config.json": "0"}}
LOCAL: dict[str, Any] = PINNED | {"id": "g", "kind": "transformer", "categories": {"ok": "none", "bad": "cbrn"}}


def test_a_family_knows_its_categories() -> None:
    """Without any of the operator's, the family's own; the operator's replace some of them."""
    assert Guard(**REMOTE).columns == ("cbrn", "other_harm")
    only = Guard(**REMOTE, categories={f"S{n}": "none" for n in range(1, 15) if n != 9})
    assert only.columns == ("cbrn",)
    assert only.scores(dict.fromkeys(only.labels, 0.2) | {"S9": 0.7, "S1": 0.9}) == (0.7,)


def test_a_category_has_its_highest_label() -> None:
    """Several labels may stand for one category."""
    guard = Guard(**REMOTE, categories={"S1": "cbrn"})
    assert guard.scores(dict.fromkeys(guard.labels, 0.1) | {"S1": 0.8, "S9": 0.3}) == (0.8, 0.1)


def test_the_card() -> None:
    """One threshold per category, a half unless given; windows counted by the widest characters; the digest follows every setting."""
    guard = Guard(**CLASSES, thresholds={"cbrn": 0.3}, window=1024)
    card = guard.card
    assert (card.id, card.version, card.categories) == ("g", "tei", ("cbrn",))
    assert dict(card.thresholds) == {"cbrn.block": 0.3}
    assert (card.window_tokens, card.stride_tokens) == (256, 192)
    assert Guard(**REMOTE).card.thresholds["other_harm.block"] == 0.5
    assert guard.digest != replace(guard, window=512).digest
    assert guard.digest == replace(guard, key="other").digest


def test_canaries_are_by_the_gravest_category() -> None:
    """By the named category, else cbrn, else the first."""
    assert Guard(**REMOTE).canaries.category == "cbrn"
    assert Guard(**REMOTE, canary="other_harm").canaries.category == "other_harm"
    wild = Guard(**(REMOTE | {"family": "wildguard"}))
    assert wild.canaries.category == "other_harm"


WRONG: dict[str, dict[str, Any]] = {
    "kind": REMOTE | {"kind": "carrier-pigeon"},
    "family 'x'": REMOTE | {"family": "x"},
    "its family": REMOTE | {"family": ""},
    "has urls|have urls": REMOTE | {"urls": ()},
    "name of the model": REMOTE | {"model": ""},
    "no label S99": REMOTE | {"categories": {"S99": "cbrn"}},
    "categories for them": CLASSES | {"categories": {}},
    "and no family": CLASSES | {"family": "llama-guard"},
    "counts for nothing": CLASSES | {"categories": {"a": "none", "b": "none"}},
    "stands for other": CLASSES | {"thresholds": {"other": 0.5}},
    "stands for that": CLASSES | {"canary": "that"},
    "more than 0 and at most 1": CLASSES | {"thresholds": {"cbrn": 0.0}},
    "canaries": CLASSES | {"bad": ()},
    "window": CLASSES | {"window": 8},
    "seconds": CLASSES | {"seconds": float("nan")},
    "folder with pins": LOCAL | {"pins": {}},
    "folder with": LOCAL | {"urls": ("http://127.0.0.1:1",)},
}


@pytest.mark.parametrize("message", WRONG)
def test_what_cannot_be_is_said(message: str) -> None:
    """Each fault of a guard names what is wrong."""
    with pytest.raises(ValueError, match=message):
        Guard(**WRONG[message])
