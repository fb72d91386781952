"""``python -m classifiers distil``: gives a folder of weights its stage zero, learned from what its encoder says of many windows.

A token's logit is a linear function of its row in the encoder's own table of word embeddings: a few hundred coefficients, so
that words that training has never seen get what words like them have. The positives are windows of harmful texts that the
encoder puts near a threshold; windows of harmless texts that it puts there teach nothing. The cut is where the wanted share
of held-out positives is lost; what else that clears is measured on held-out texts and written into the card.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from classifiers.artefacts import CARD_FILE, MODEL_FILE, load_card, read_bytes
from classifiers.base import Card, ClassifierArtefact
from classifiers.cascade import near
from classifiers.embedded import load_folder
from classifiers.evaluate.intervals import rate
from classifiers.stage_zero import STAGE_ZERO_FILE, UNIT, StageZero
from classifiers.train.authored import FOLDER
from classifiers.train.card import digest
from classifiers.train.curriculum import Course, read_texts, teach
from classifiers.train.logistic import Floats, fit
from classifiers.train.teacher import Lessons, Teacher

# The label of the texts whose windows are a category's positives.
POSITIVE: Final[Mapping[str, str]] = {
    "cbrn": "cbrn_harmful",
    "other_harm": "other_harmful",
    "jailbreak": "jailbreak_template",
}
LARGEST: Final = 20.0  # logits of one token
MARGIN: Final = 0.01  # logits that the cut stays below *near*


@dataclass(frozen=True, slots=True)
class Recipe:
    """``loss``: the share of held-out harmful texts near a threshold that may be cleared, by category (``*``: any other). ``share``: of
    *near*, from where a window of a harmful text is a positive. ``positive``: the weight of all positives beside the others' 1."""

    loss: Mapping[str, float] = field(default_factory=lambda: {"cbrn": 0.01, "*": 0.03})
    share: float = 0.7
    positive: float = 0.5
    ridge: float = 100.0


@dataclass(frozen=True, slots=True)
class Plan:
    """The folder of the data, the folder of the weights, the cache, and the folder of the authored texts."""

    data: Path
    out: Path
    cache: Path
    authored: Path = FOLDER
    recipe: Recipe = field(default_factory=Recipe)


def distil(plan: Plan) -> str:
    """Fit, measure, write stage zero and the card into ``plan.out``; returns the digest of the card.

    Raises DataError, ClassifierArtefact.
    """
    pinned = without_stage_zero(plan.out)
    card = load_card(plan.out, pinned)
    course = teach(
        Teacher(load_folder(plan.out, pinned).engine, pinned, plan.cache), read_texts(plan.data, plan.authored)
    )
    zero = fit_tables(card, course, word_embeddings(read_bytes(plan.out / MODEL_FILE)), plan.recipe)
    np.savez_compressed(plan.out / STAGE_ZERO_FILE, tokens=zero["tokens"], cut=zero["cut"])
    figures = measure(card, course, StageZero(zero["tokens"], zero["cut"]))
    return rewrite(plan.out, {"recipe": asdict(plan.recipe), "figures": figures})


def without_stage_zero(folder: Path) -> str:
    """Take an earlier stage zero out of the card, so that the encoder judges every window; the digest of the card then."""
    card = json.loads(read_bytes(folder / CARD_FILE))
    if card["files"].pop(STAGE_ZERO_FILE, None) is None:
        return digest(read_bytes(folder / CARD_FILE))
    card.pop("stage_zero", None)
    return _write(folder, card)


def rewrite(folder: Path, about: Mapping[str, Any]) -> str:
    """Pin stage zero in the card and say what is known about it; the new digest of the card."""
    card = json.loads(read_bytes(folder / CARD_FILE))
    card["files"][STAGE_ZERO_FILE] = digest(read_bytes(folder / STAGE_ZERO_FILE))
    card["stage_zero"] = dict(about)
    return _write(folder, card)


def _write(folder: Path, card: Mapping[str, Any]) -> str:
    content = json.dumps(card, indent=1, sort_keys=True).encode() + b"\n"
    (folder / CARD_FILE).write_bytes(content)
    return digest(content)


def word_embeddings(model: bytes) -> Floats:
    """The encoder's table of words [vocabulary, hidden], standardised. Raises ClassifierArtefact where there is none."""
    import onnx
    from onnx import numpy_helper

    tables = [one for one in onnx.load_from_string(model).graph.initializer if len(one.dims) == 2]
    if not tables:
        raise ClassifierArtefact(f"{MODEL_FILE} has no table of words")
    # The vocabulary is by far the longest side of any matrix in an encoder of this kind.
    table = numpy_helper.to_array(max(tables, key=lambda one: one.dims[0])).astype(np.float64)
    return np.asarray((table - table.mean()) / table.std())


def fit_tables(card: Card, course: Course, words: Floats, recipe: Recipe) -> dict[str, NDArray[Any]]:
    """``tokens`` and ``cut`` of all categories, as they are stored."""
    lessons, held = course.lessons, held_windows(course)
    means = window_means(lessons, words)
    columns, cuts = [], []
    for index, category in enumerate(card.categories):
        harmful = of_label(course, POSITIVE.get(category, category))
        high = lessons.scores[:, index] >= near(card, category) * recipe.share
        positive, used = high & harmful & ~held, ~held & (harmful | ~high)
        weights = used * np.where(positive, recipe.positive / max(1, positive.sum()), 1.0 / max(1, (~positive).sum()))
        slope, bias = fit(means, positive.astype(np.float64), weights * len(weights), recipe.ridge)
        # No single word may outweigh a window, in either direction.
        table = np.clip(words @ slope + bias, -LARGEST, LARGEST)
        near_ones = (lessons.scores[:, index] >= near(card, category)) & harmful & held
        kept = _best_of_texts(lessons, window_means(lessons, table[:, None])[:, 0], near_ones)
        if not kept:
            raise ClassifierArtefact(f"no held-out text of {category} is near its threshold")
        loss = recipe.loss.get(category, recipe.loss["*"])
        cut = math.log(near(card, category) / (1.0 - near(card, category))) - MARGIN
        columns.append(table - float(np.quantile(kept, loss)) + cut)
        cuts.append(cut)
    tokens = np.clip(np.ceil(np.stack(columns, axis=1) * UNIT), -32_000, 32_000).astype(np.int16)
    return {"tokens": tokens, "cut": np.floor(np.array(cuts) * UNIT).astype(np.int32)}


def _best_of_texts(lessons: Lessons, logits: Floats, which: NDArray[np.bool_]) -> list[float]:
    """The highest logit among the chosen windows of each text that has some."""
    best: dict[int, float] = {}
    for owner, logit in zip(lessons.owners[which].tolist(), logits[which].tolist(), strict=True):
        best[owner] = max(logit, best.get(owner, logit))
    return list(best.values())


def held_windows(course: Course) -> NDArray[np.bool_]:
    """Which windows belong to texts for measuring only."""
    return np.array([text.held for text in course.texts])[course.lessons.owners]


def of_label(course: Course, label: str) -> NDArray[np.bool_]:
    """Which windows belong to texts of a label."""
    return np.array([text.label == label for text in course.texts])[course.lessons.owners]


def window_means(lessons: Lessons, words: Floats) -> Floats:
    """The mean row of each window's tokens [windows, hidden]."""
    means = np.zeros((len(lessons.sizes), words.shape[1]))
    ends = np.cumsum(lessons.sizes)
    for window, (end, size) in enumerate(zip(ends.tolist(), lessons.sizes.tolist(), strict=True)):
        if size:
            means[window] = words[lessons.ids[end - size : end]].mean(axis=0)
    return means


def measure(card: Card, course: Course, zero: StageZero) -> list[dict[str, Any]]:
    """On held-out texts: the share of windows cleared by source, and of flagged harmful texts those still flagged, by category."""
    lessons, held = course.lessons, held_windows(course)
    cleared = zero.clears(lessons.ids, lessons.sizes)
    sources = np.array([f"{text.source}, {text.label}" for text in course.texts])[lessons.owners]
    lines = [
        _line("windows cleared", source, cleared[held & (sources == source)]) for source in sorted(set(sources[held]))
    ]
    lines.append(_line("windows cleared", "all", cleared[held]))
    for index, category in enumerate(card.categories):
        harmful = held & of_label(course, POSITIVE.get(category, category))
        for name, value in card.thresholds.items():
            if name.partition(".")[0] == category:
                still = _kept(lessons, cleared, harmful, index, value)
                lines.append(_line(f"texts at {name} still there", POSITIVE.get(category, category), still))
    return lines


def _kept(
    lessons: Lessons, cleared: NDArray[np.bool_], which: NDArray[np.bool_], index: int, threshold: float
) -> Sequence[bool]:
    high = which & (lessons.scores[:, index] >= threshold)
    texts, still = set(lessons.owners[high].tolist()), set(lessons.owners[high & ~cleared].tolist())
    return [text in still for text in sorted(texts)]


def _line(what: str, where: str, hits: Sequence[bool] | NDArray[np.bool_]) -> dict[str, Any]:
    found = rate(int(sum(hits)), len(hits))
    return {
        "what": what,
        "where": where,
        "hits": found.hits,
        "total": found.total,
        "rate": round(found.value, 5),
        "interval": [round(found.low, 5), round(found.high, 5)],
    }
