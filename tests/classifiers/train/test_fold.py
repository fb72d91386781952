from __future__ import annotations

import numpy as np

from classifiers.rows import Row
from classifiers.train.embed import Embedded
from classifiers.train.fold import HARD_SOURCES, Recipe, fit_heads, fold_of, held_out_scores
from classifiers.train.labels import Example, Kind

HARD = min(HARD_SOURCES)


def example(kind: Kind, source: str, child: bool = False) -> Example:
    return Example(Row("x", "x", kind, source), kind, child)


def data(examples: list[Example], seed: int = 0) -> Embedded:
    """Two windows per text; the first dimension tells cbrn, the second other harm, the third the source."""
    chance = np.random.default_rng(seed)
    vectors = []
    for one in examples:
        for _ in range(2):
            vector = chance.normal(0, 0.1, 4)
            vector[0] += one.kind == "cbrn"
            vector[1] += one.kind in {"other_harm", "poison"}
            vector[2] += one.row.source == "b"
            vectors.append(vector)
    return Embedded(np.array(vectors, dtype=np.float32), np.repeat(np.arange(len(examples)), 2))


EXAMPLES = [
    example(kind, source, child)
    for kind in ("cbrn", "other_harm", "poison", "adjacent", "benign")
    for source in ("a", "b", HARD)
    for child in (False, True)
    for _ in range(6)
]


def test_held_out_scores_generalise() -> None:
    """A head that has not seen a source still ranks its texts; every fold is reported once."""
    advanced: list[int] = []
    scores = held_out_scores("cbrn", EXAMPLES, data(EXAMPLES), Recipe(), lambda: advanced.append(1))
    harmful = np.array([one.kind == "cbrn" for one in EXAMPLES])
    benign = np.array([one.kind == "benign" for one in EXAMPLES])
    assert scores[harmful].min() > scores[benign].max()
    assert len(advanced) == 3


def test_a_source_is_not_seen_by_its_own_head() -> None:
    """Turning the labels of a source around does not change the scores of that source."""
    turned = [example("benign", "b") if one.row.source == "b" else one for one in EXAMPLES]
    inside = np.array([one.row.source == "b" for one in EXAMPLES])
    embedded = data(EXAMPLES)
    before = held_out_scores("cbrn", EXAMPLES, embedded, Recipe(), lambda: None)
    after = held_out_scores("cbrn", turned, embedded, Recipe(), lambda: None)
    assert np.allclose(before[inside], after[inside])
    assert not np.allclose(before[~inside], after[~inside])


def test_heads_of_all_categories() -> None:
    """Each category finds its own direction."""
    heads = fit_heads(("cbrn", "other_harm"), EXAMPLES, data(EXAMPLES), Recipe(), [True] * len(EXAMPLES))
    assert heads.weights.shape == (2, 4)
    assert heads.weights[0].argmax() == 0
    assert heads.weights[1].argmax() == 1


def test_sets_of_one_author_are_one_fold() -> None:
    """Authored sources are held out together; unknown ones are folds of their own."""
    assert fold_of(example("cbrn", "authored pairs")) == fold_of(example("adjacent", "authored near misses"))
    assert fold_of(example("benign", "new source")) == "new source"
