"""``python -m classifiers train``: from named data to a head, a card and its figures."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
from rich.progress import Progress

from classifiers.artefacts import HEAD_FILE, MODEL_FILE, TOKENIZER_FILE, read_bytes
from classifiers.encoder import Encoder, Reader
from classifiers.evaluate.figures import Scored, as_json, measure, threshold_for
from classifiers.rows import read_all
from classifiers.train.augment import carried
from classifiers.train.card import digest, write_card, write_notice
from classifiers.train.embed import Embedded, Embedder
from classifiers.train.fold import HARD_SOURCES, Heads, Recipe, fit_heads, fold_of, held_out_scores
from classifiers.train.labels import CATEGORIES, RELABELS, Example, label, read_relabels

HERE: Final = Path(__file__).parent
INPUTS: Final = (
    "benign_general.jsonl.gz",
    "cbrn_adjacent_benign.jsonl.gz",
    "cbrn_harmful_en.jsonl",
    "other_harmful_en.jsonl.gz",
    "over_refusal.jsonl",
)
# In a smaller source, half a percent is a handful of rows: chance, not a rate.
LARGE_SOURCE: Final = 1000


@dataclass(frozen=True, slots=True)
class Plan:
    """What to train from and how: the folder of the data, the folder of the weights, the cache, and the knobs."""

    data: Path
    out: Path
    cache: Path
    recipe: Recipe = field(default_factory=Recipe)
    children: int = 4
    carried_ordinary: int = 1500
    seed: int = 20261124
    window_tokens: int = 32
    stride_tokens: int = 16
    special_tokens: tuple[int, int] = (101, 102)
    block_share: float = 0.001
    block_share_worst: float = 0.005
    near_share: float = 0.01


def load_embedder(plan: Plan) -> Embedder:
    """The encoder in ``plan.out``, reading texts in the windows that are served. Raises ClassifierArtefact."""
    model, tokenizer = read_bytes(plan.out / MODEL_FILE), read_bytes(plan.out / TOKENIZER_FILE)
    reader = Reader.load(tokenizer, plan.window_tokens, plan.stride_tokens)
    name = digest(model + tokenizer + f"{plan.window_tokens}/{plan.stride_tokens}".encode())
    return Embedder(reader, Encoder.load(model, *plan.special_tokens), name, plan.cache)


def read_examples(plan: Plan) -> list[Example]:
    """All rows of the named inputs and the authored texts, relabelled. Raises DataError."""
    rows = read_all([*(plan.data / name for name in INPUTS), HERE / "authored.jsonl"])
    return label(rows, read_relabels(RELABELS))


def embed_all(plan: Plan, embedder: Embedder, examples: Sequence[Example]) -> Embedded:
    """The windows of all examples, embedded source by source, so that a new text does not undo the whole cache."""
    vectors, owners = [], []
    parts = [(example.row.source, example.child) for example in examples]
    for part_of in dict.fromkeys(parts):
        indices = np.array([index for index, one in enumerate(parts) if one == part_of])
        part = embedder.embed([examples[index].row.text for index in indices], part_of[0])
        vectors.append(part.vectors)
        owners.append(indices[part.owners])
    return Embedded(np.concatenate(vectors), np.concatenate(owners))


def choose_thresholds(
    plan: Plan, examples: Sequence[Example], scores: Mapping[str, Sequence[float]]
) -> dict[str, float]:
    """Thresholds from held-out scores of ordinary text: over all of it, and over the worst of its large sources."""
    sources = [example.row.source if example.kind == "benign" else "" for example in examples]
    large = [source for source in sorted(set(sources) - {""}) if sources.count(source) >= LARGE_SOURCE]

    def needed(category: str, share: float, worst: float) -> float:
        of = {name: [s for s, one in zip(scores[category], sources, strict=True) if one == name] for name in large}
        every = [score for score, one in zip(scores[category], sources, strict=True) if one]
        return max([threshold_for(every, share), *(threshold_for(of[name], worst) for name in large)])

    return {
        "cbrn.block": needed("cbrn", plan.block_share, plan.block_share_worst),
        "cbrn.near": needed("cbrn", plan.near_share, 1.0),
        "other_harm.monitor": needed("other_harm", plan.near_share, 1.0),
    }


def make_children(plan: Plan, examples: Sequence[Example]) -> list[Example]:
    """Variants of every positive and hard row, and of as many ordinary rows as the plan says."""
    # A token is about three quarters of a word: the variant fills one window.
    words = plan.window_tokens * 2 // 3
    hard = [one for one in examples if one.kind == "cbrn" or one.row.source in HARD_SOURCES]
    ordinary = [one for one in examples if one.kind in {"benign", "adjacent"} and one.row.source not in HARD_SOURCES]
    chosen = random.Random(plan.seed).sample(ordinary, min(plan.carried_ordinary, len(ordinary)))  # noqa: S311  the same rows again; not secret
    return [*carried(hard, plan.children, words, plan.seed), *carried(chosen, 2, words, plan.seed)]


def train(plan: Plan) -> str:
    """Fit, measure, write head, card and notice into ``plan.out``; returns the digest of the card.

    Raises DataError, ClassifierArtefact.
    """
    examples = read_examples(plan)
    everything = [*examples, *make_children(plan, examples)]
    data = embed_all(plan, load_embedder(plan), everything)
    scores: dict[str, list[float]] = {}
    folds = len({fold_of(example) for example in examples})
    with Progress(transient=True) as progress:
        task = progress.add_task("held-out heads", total=folds * len(CATEGORIES))
        for category in CATEGORIES:
            held_out = held_out_scores(category, everything, data, plan.recipe, lambda: progress.advance(task))
            scores[category] = held_out[: len(examples)].tolist()
            scores[f"{category}+"] = held_out[len(examples) :].tolist()
    thresholds = choose_thresholds(plan, examples, scores)
    write_head(plan.out, fit_heads(CATEGORIES, everything, data, plan.recipe))
    write_notice(plan.out)
    card = describe(plan, everything, scores, thresholds)
    return write_card(plan.out, card, [MODEL_FILE, TOKENIZER_FILE, HEAD_FILE, "NOTICE"])


def write_head(out: Path, heads: Heads) -> None:
    """Write head.json."""
    head = {"categories": list(CATEGORIES), "weights": heads.weights.tolist(), "bias": heads.bias.tolist()}
    (out / HEAD_FILE).write_text(json.dumps(head) + "\n")


def describe(
    plan: Plan, everything: Sequence[Example], scores: Mapping[str, Sequence[float]], thresholds: Mapping[str, float]
) -> dict[str, Any]:
    """The card without what ``write_card`` adds. Variants are reported apart, as ``LABEL, carried or padded``."""
    joined = {category: [*scores[category], *scores[f"{category}+"]] for category in CATEGORIES}
    texts = [
        Scored(
            example.kind + (", carried or padded" if example.child else ""),
            example.row.source,
            example.row.lang,
            {category: joined[category][index] for category in CATEGORIES},
        )
        for index, example in enumerate(everything)
    ]
    return {
        "id": "cbrn-minilm",
        "version": "1",
        "categories": list(CATEGORIES),
        "thresholds": dict(thresholds),
        "window_tokens": plan.window_tokens,
        "stride_tokens": plan.stride_tokens,
        "special_tokens": list(plan.special_tokens),
        "training": {
            "command": "python -m classifiers train --data DATA --out classifiers/models/cbrn-minilm",
            "inputs": {name: digest((plan.data / name).read_bytes()) for name in INPUTS},
            "authored": {name: digest((HERE / name).read_bytes()) for name in ("authored.jsonl", "relabels.json")},
            "recipe": asdict(plan.recipe),
            "children": plan.children,
            "seed": plan.seed,
        },
        "figures": {
            "how": "each text scored by a head that was not fitted on its source (or sources by the same author)",
            "thresholds": f"block: {plan.block_share:.1%} of ordinary text, {plan.block_share_worst:.1%} of its worst large source; "
            f"near and monitor: {plan.near_share:.1%} of ordinary text",
            "lines": as_json(measure(texts, thresholds)),
        },
    }
