from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from support.tiny_model import tokenizer_bytes, write_encoder

from classifiers.encoder import Encoder, Reader
from classifiers.train.embed import Embedder, highest_per_text


@pytest.fixture
def embedder(tmp_path: Path) -> Embedder:
    write_encoder(tmp_path)
    encoder = Encoder.load((tmp_path / "model.int8.onnx").read_bytes(), 2, 3)
    return Embedder(Reader.load(tokenizer_bytes(), 16, 8), encoder, "digest", tmp_path / "cache")


def test_windows_are_owned_by_their_texts(embedder: Embedder) -> None:
    """Long texts have several windows, empty ones none."""
    embedded = embedder.embed(["a b", "", "a " * 30], "title")
    assert embedded.owners.tolist() == [0, 2, 2, 2]
    assert embedded.vectors.shape == (4, 8)


def test_second_time_comes_from_the_cache(embedder: Embedder) -> None:
    """What was embedded is read back; other texts or another encoder are not mixed up with it."""
    first = embedder.embed(["a b", "c"], "title")
    kept = list(embedder.cache.iterdir())
    again = embedder.embed(["a b", "c"], "title")
    assert (first.vectors == again.vectors).all()
    assert (first.owners == again.owners).all()
    assert list(embedder.cache.iterdir()) == kept
    embedder.embed(["a b c"], "title")
    Embedder(embedder.reader, embedder.encoder, "other", embedder.cache).embed(["a b", "c"], "title")
    assert len(list(embedder.cache.iterdir())) == 3


def test_highest_per_text() -> None:
    """The highest window counts; no window is 0."""
    assert highest_per_text(np.array([0.2, 0.7, 0.1]), np.array([0, 0, 2]), 3).tolist() == [0.7, 0.0, 0.1]
