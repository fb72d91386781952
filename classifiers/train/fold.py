"""Scores of every text by a head that has not seen the text's source, and heads for all the data."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from classifiers.train.embed import Embedded, highest_per_text
from classifiers.train.labels import Example
from classifiers.train.logistic import Floats, fit, probabilities

# Sources that are held out together: sets by one author, and small ones. A source named nowhere is a fold of its own.
FOLDS: Final[Mapping[str, str]] = {
    "authored pairs": "authored",
    "authored near misses": "authored",
    "hand-written near-miss (dev)": "authored",
    "declare-lab/red-instruct (CatQA)": "red teaming",
    "declare-lab/red-instruct (HarmfulQA)": "red teaming",
    "google-research-datasets/aart-ai-safety-dataset": "red teaming",
    "llm-attacks/llm-attacks (AdvBench, via PyRIT)": "red teaming",
    "Jarviswang94/Multilingual_safety_benchmark (XSafety)": "red teaming",
    "openai/grade-school-math (GSM8K)": "exercises",
    "openai/human-eval": "exercises",
    "mandyyyyii/scibench": "exercises",
    "meta-llama/PurpleLlama (CyberSecEval FRR)": "assistants",
    "yizhongw/self-instruct (user-oriented, seeds)": "assistants",
    "lm-sys/FastChat (MT-Bench, Vicuna bench)": "assistants",
}
# Written by hand to look harmful or to mirror a harmful request: each counts like a positive, not as one of thousands.
HARD_SOURCES: Final = frozenset({"authored pairs", "authored near misses", "hand-written near-miss (dev)"})


@dataclass(frozen=True, slots=True)
class Recipe:
    """How strongly coefficients are held back, and what a group of rows weighs beside one positive row;
    ``child`` is the weight of one variant of a positive or hard row."""

    ridge: float = 0.3
    benign: float = 300.0
    adjacent: float = 300.0
    other_harm: float = 100.0
    carried: float = 150.0
    child: float = 0.2


@dataclass(frozen=True, slots=True)
class Heads:
    """One linear output per category: ``weights`` [categories, hidden], ``bias`` [categories]."""

    weights: Floats
    bias: Floats


def fold_of(example: Example) -> str:
    """The fold of an example's source."""
    return FOLDS.get(example.row.source, example.row.source)


def is_hard(example: Example) -> bool:
    """Whether a person wrote the row to look harmful, or to mirror a harmful request."""
    return example.row.source in HARD_SOURCES or example.row.source.startswith("authored")


def _group(example: Example) -> str:
    if example.kind == "cbrn" or is_hard(example):
        return "hard child" if example.child else "hard"
    return "carried" if example.child else example.kind


def _text_weights(examples: Sequence[Example], targets: Sequence[float | None], recipe: Recipe) -> Floats:
    groups = ["" if target is None else _group(example) for example, target in zip(examples, targets, strict=True)]
    counts = Counter(groups)
    weights = {
        "": 0.0,
        "hard": 1.0,
        "hard child": recipe.child,
        "carried": recipe.carried / max(1, counts["carried"]),
        "benign": recipe.benign / max(1, counts["benign"]),
        "adjacent": recipe.adjacent / max(1, counts["adjacent"]),
    }
    other = recipe.other_harm / max(1, counts["other_harm"])
    return np.array([weights.get(group, other) for group in groups])


def fit_category(
    category: str, examples: Sequence[Example], data: Embedded, recipe: Recipe, keep: Floats
) -> tuple[Floats, float]:
    """Coefficients and bias of one category; ``keep`` [texts] is 1 for the texts to learn from and 0 for the others."""
    targets = [example.target(category) if kept else None for example, kept in zip(examples, keep, strict=True)]
    per_text = _text_weights(examples, targets, recipe)
    # A long text has many windows; together they weigh as much as a short one.
    windows = np.bincount(data.owners, minlength=len(examples))
    weights = (per_text / np.maximum(1, windows))[data.owners]
    # Which window of a long request is the harmful one is not known; the ask stands in the last one most often.
    is_last = np.append(data.owners[1:] != data.owners[:-1], True)
    harmful = np.array([target == 1.0 for target in targets])[data.owners]
    weights = np.where(harmful, per_text[data.owners] * is_last, weights)
    known = np.array([target or 0.0 for target in targets])[data.owners]
    return fit(data.vectors.astype(np.float64), known, weights, recipe.ridge)


def fit_heads(
    categories: Sequence[str], examples: Sequence[Example], data: Embedded, recipe: Recipe, keep: Sequence[bool]
) -> Heads:
    """Heads of all categories from the examples that ``keep`` names, rounded as they are stored."""
    kept = np.array(keep, dtype=np.float64)
    fitted = [fit_category(category, examples, data, recipe, kept) for category in categories]
    return Heads(np.round([weights for weights, _ in fitted], 6), np.round([bias for _, bias in fitted], 6))


def held_out_scores(
    category: str, examples: Sequence[Example], data: Embedded, recipe: Recipe, advance: Callable[[], None]
) -> Floats:
    """For each text, the highest window score by a head that learned from the other folds only."""
    folds = [fold_of(example) for example in examples]
    scores = np.zeros(len(examples))
    for fold in sorted(set(folds)):
        inside = np.array([one == fold for one in folds])
        weights, bias = fit_category(category, examples, data, recipe, (~inside).astype(np.float64))
        chances = probabilities(data.vectors @ weights + bias)
        scores[inside] = highest_per_text(chances, data.owners, len(examples))[inside]
        advance()
    return scores


def highest_scores(heads: Heads, data: Embedded, texts: int) -> Floats:
    """For each category and text, the highest score of its windows: [categories, texts]."""
    chances = probabilities(data.vectors @ heads.weights.T + heads.bias)
    return np.array([highest_per_text(column, data.owners, texts) for column in chances.T])
