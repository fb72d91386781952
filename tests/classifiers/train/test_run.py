from __future__ import annotations

import json
from pathlib import Path

import pytest
from support.tiny_model import write_encoder

from classifiers.artefacts import load_artefacts
from classifiers.base import ClassifierArtefact
from classifiers.embedded import load_folder
from classifiers.rows import DataError, Row
from classifiers.train.labels import Example
from classifiers.train.run import INPUTS, Plan, choose_thresholds, make_children, train
from classifiers.train.split import HELD_SOURCES

LABELS = {
    "benign_general.jsonl.gz": "benign",
    "cbrn_adjacent_benign.jsonl.gz": "cbrn_adjacent_benign",
    "cbrn_harmful_en.jsonl": "cbrn_harmful",
    "other_harmful_en.jsonl.gz": "other_harmful",
    "over_refusal.jsonl": "cbrn_adjacent_benign",
    "harmful_multilingual.jsonl.gz": "other_harmful",
}


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    """A tiny encoder and a few synthetic rows per input; z stands for harm."""
    import gzip

    data = tmp_path / "data"
    data.mkdir()
    for name in INPUTS:
        word = {"cbrn_harmful": "z", "other_harmful": "q"}.get(LABELS[name], "a")
        sources = ("mlcommons/ailuminate" if word == "z" else "s0", min(HELD_SOURCES))
        rows = [
            {
                "id": f"{name}-{i}",
                "text": f"{word} {'bcd'[i % 3]} {word}",
                "label": LABELS[name],
                "source": sources[i % 2],
            }
            for i in range(12)
        ]
        content = "".join(json.dumps(row) + "\n" for row in rows).encode()
        (data / name).write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
    write_encoder(tmp_path / "out")
    return Plan(
        data,
        tmp_path / "out",
        tmp_path / "cache",
        tmp_path / "authored",
        children=2,
        carried_ordinary=4,
        special_tokens=(2, 3),
    )


def test_train_writes_a_folder_that_loads(plan: Plan) -> None:
    """Head, card and notice are written, pinned, and load; the card says from what they were made."""
    digest = train(plan)
    artefacts = load_artefacts(plan.out, digest)
    assert load_folder(plan.out, digest).canaries == artefacts.canaries
    assert set(artefacts.card.thresholds) == {"cbrn.block", "cbrn.near", "other_harm.monitor"}
    card = json.loads((plan.out / "card.json").read_bytes())
    assert set(card["training"]["inputs"]) == set(INPUTS)
    assert {line["label"] for line in card["figures"]["lines"]} >= {"cbrn", "benign", "cbrn, carried or padded"}


def test_train_is_reproducible(plan: Plan) -> None:
    """The same data gives the same bytes, with and without the cache."""
    first = train(plan)
    head = (plan.out / "head.json").read_bytes()
    assert train(plan) == first
    for path in plan.cache.iterdir():
        path.unlink()
    assert train(plan) == first
    assert (plan.out / "head.json").read_bytes() == head


def test_missing_parts_are_named(plan: Plan) -> None:
    """Without an input or without the encoder nothing is trained."""
    (plan.out / "model.int8.onnx").unlink()
    with pytest.raises(ClassifierArtefact, match=r"model\.int8\.onnx"):
        train(plan)
    (plan.data / "over_refusal.jsonl").unlink()
    with pytest.raises(DataError, match=r"over_refusal\.jsonl"):
        train(plan)


def test_thresholds_heed_the_worst_large_source(plan: Plan) -> None:
    """One chatty source among quiet ones raises the block threshold, not the near one; small sources do not."""
    examples = [Example(Row("x", "x", "benign", name), "benign") for name in ("quiet",) * 9000 + ("loud",) * 1000]
    low = [0.1] * 9000
    scores = {"cbrn": low + [0.9] * 6 + [0.2] * 994, "other_harm": low + [0.2] * 1000}
    thresholds = choose_thresholds(plan, examples, scores)
    assert thresholds["cbrn.block"] == pytest.approx(0.9001)
    assert choose_thresholds(plan, examples[3:], {name: values[3:] for name, values in scores.items()}) == thresholds
    small = choose_thresholds(plan, examples[:-1], {name: values[:-1] for name, values in scores.items()})
    assert small["cbrn.block"] == pytest.approx(0.2001)
    assert thresholds["cbrn.near"] == pytest.approx(0.2001)


def test_children_of_hard_and_of_some_ordinary_rows(plan: Plan) -> None:
    """Every positive and hard row has its variants, ordinary rows two each up to the number asked for, others none."""
    kinds = ("cbrn", "other_harm", "poison", "benign", "adjacent")
    examples = [Example(Row(f"{kind}{i}", "x", kind, "s"), kind) for kind in kinds for i in range(10)]  # type: ignore[arg-type]  (a loop over names)
    children = make_children(plan, examples)
    assert sum(child.kind == "cbrn" for child in children) == 20
    assert sum(child.kind in {"benign", "adjacent"} for child in children) == 8
    assert len(children) == 28
