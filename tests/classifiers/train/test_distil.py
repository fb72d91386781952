from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from support.tiny_model import write_folder

from classifiers.artefacts import load_artefacts
from classifiers.base import ClassifierArtefact
from classifiers.cascade import StagedEngine, near
from classifiers.embedded import load_folder
from classifiers.stage_zero import STAGE_ZERO_FILE, StageZero
from classifiers.train.curriculum import Course, Text
from classifiers.train.distil import (
    Recipe,
    fit_tables,
    measure,
    rewrite,
    window_means,
    without_stage_zero,
    word_embeddings,
)
from classifiers.train.teacher import Lessons

WORDS = np.random.default_rng(1).normal(size=(40, 6))
HARM, PLAIN = 3, 7


@pytest.fixture
def folder(tmp_path: Path) -> tuple[Path, str]:
    return tmp_path, write_folder(tmp_path)


def course(folder: tuple[Path, str]) -> Course:
    """Windows of three tokens: what holds the harmful token is near every threshold, all else far from it."""
    card = load_artefacts(*folder).card
    chance = np.random.default_rng(2)
    texts, ids, scores = [], [], []
    for index in range(400):
        harmful = index % 4 == 0
        row = [HARM, HARM, int(chance.integers(8, 40))] if harmful else [PLAIN, *chance.integers(8, 40, 2).tolist()]
        label = "cbrn_harmful" if harmful else "benign"
        texts.append(Text(f"t{index}", label, label, index % 3 == 0))
        ids += row
        scores.append([0.99 if harmful else 0.001] * len(card.categories))
    sizes = np.full(400, 3, np.int32)
    lessons = Lessons(np.array(ids, np.int32), sizes, np.arange(400), np.array(scores, np.float32))
    return Course(tuple(texts), lessons)


def test_tables_clear_the_plain_and_keep_the_harmful(folder: tuple[Path, str]) -> None:
    """Held-out harmful windows stay but for the allowed share, plain ones are cleared, and no cleared score is near."""
    card, shown = load_artefacts(*folder).card, course(folder)
    tables = fit_tables(card, shown, WORDS, Recipe(loss={"*": 0.0}))
    zero = StageZero(tables["tokens"], tables["cut"])
    cleared = zero.clears(shown.lessons.ids, shown.lessons.sizes)
    harmful = np.array([text.label == "cbrn_harmful" for text in shown.texts])
    held = np.array([text.held for text in shown.texts])
    assert not cleared[harmful & held].any()
    assert cleared[~harmful].mean() > 0.9
    assert all(most < near(card, name) for most, name in zip(zero.most, card.categories, strict=True))
    lines = {(line["what"], line["where"]): line["rate"] for line in measure(card, shown, zero)}
    assert lines["windows cleared", "benign, benign"] > 0.9
    assert min(rate for (what, _), rate in lines.items() if what.endswith("still there")) == 1.0


def test_without_positives_nothing_is_fitted(folder: tuple[Path, str]) -> None:
    """A cut that nothing supports would clear at will: it is refused."""
    shown = course(folder)
    shown.lessons.scores[:] = 0.001
    with pytest.raises(ClassifierArtefact, match="held-out"):
        fit_tables(load_artefacts(*folder).card, shown, WORDS, Recipe())


def test_the_card_pins_stage_zero_and_can_let_go_of_it(folder: tuple[Path, str]) -> None:
    """After ``rewrite`` the folder loads with its stage zero; ``without_stage_zero`` brings back the engine alone."""
    path, _ = folder
    card = load_artefacts(*folder).card
    rows = len(word_embeddings((path / "model.int8.onnx").read_bytes()))
    width = len(card.categories)
    np.savez_compressed(
        path / STAGE_ZERO_FILE, tokens=np.full((rows, width), -9000, np.int16), cut=np.full(width, -8000, np.int32)
    )
    digest = rewrite(path, {"figures": []})
    engine = load_folder(path, digest).engine
    assert isinstance(engine, StagedEngine)
    assert all(span.scores for span in engine.plan("a b c", 9).spans)
    again = without_stage_zero(path)
    assert not isinstance(load_folder(path, again).engine, StagedEngine)
    assert without_stage_zero(path) == again
    assert "stage_zero" not in json.loads((path / "card.json").read_bytes())


def test_a_stage_zero_that_clears_what_is_near_is_refused(folder: tuple[Path, str]) -> None:
    """Whatever a file says, a window that is near is never cleared by it."""
    path, _ = folder
    width = len(load_artefacts(*folder).card.categories)
    np.savez_compressed(
        path / STAGE_ZERO_FILE, tokens=np.full((40, width), -9000, np.int16), cut=np.full(width, 9000, np.int32)
    )
    with pytest.raises(ClassifierArtefact, match="would clear"):
        load_folder(path, rewrite(path, {}))


def test_window_means_pass_over_empty_windows() -> None:
    """The mean row of each window's tokens; zeros where there are none."""
    lessons = Lessons(
        np.array([0, 1, 2], np.int32), np.array([2, 0, 1], np.int32), np.zeros(3, np.int64), np.zeros((3, 1))
    )
    means = window_means(lessons, WORDS)
    assert np.allclose(means, [(WORDS[0] + WORDS[1]) / 2, np.zeros(6), WORDS[2]])
