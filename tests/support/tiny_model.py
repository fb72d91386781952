"""A tiny encoder with random weights in the form of the real one, and its tokenizer, for training and artefact tests."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

HIDDEN, LAYERS, HEADS, WORDS = 8, 2, 2, 40


def vocabulary() -> list[str]:
    letters = [chr(ord("a") + index) for index in range(26)]
    return ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *letters, *(f"##{letter}" for letter in letters[:10])]


def tokenizer_bytes() -> bytes:
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers

    words = vocabulary()
    tokenizer = Tokenizer(models.WordPiece({word: index for index, word in enumerate(words)}, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.add_special_tokens(words[:4])
    return tokenizer.to_str().encode()


def tensors(seed: int = 1) -> dict[str, NDArray[np.float32]]:
    chance = np.random.default_rng(seed)

    def draw(*shape: int) -> NDArray[np.float32]:
        return chance.normal(0, 0.4, shape).astype(np.float32)

    named = {
        "embeddings.word_embeddings.weight": draw(WORDS, HIDDEN),
        "embeddings.position_embeddings.weight": draw(80, HIDDEN),
        "embeddings.token_type_embeddings.weight": draw(2, HIDDEN),
        "embeddings.LayerNorm.weight": 1 + draw(HIDDEN),
        "embeddings.LayerNorm.bias": draw(HIDDEN),
    }
    for layer in range(LAYERS):
        prefix = f"encoder.layer.{layer}"
        for part in ("query", "key", "value"):
            named[f"{prefix}.attention.self.{part}.weight"] = draw(HIDDEN, HIDDEN)
            named[f"{prefix}.attention.self.{part}.bias"] = draw(HIDDEN)
        for part, shape in (
            ("attention.output.dense", (HIDDEN, HIDDEN)),
            ("intermediate.dense", (2 * HIDDEN, HIDDEN)),
            ("output.dense", (HIDDEN, 2 * HIDDEN)),
        ):
            named[f"{prefix}.{part}.weight"] = draw(*shape)
            named[f"{prefix}.{part}.bias"] = draw(shape[0])
        for part in ("attention.output.LayerNorm", "output.LayerNorm"):
            named[f"{prefix}.{part}.weight"] = 1 + draw(HIDDEN)
            named[f"{prefix}.{part}.bias"] = draw(HIDDEN)
    return named


def safetensors_bytes(named: dict[str, NDArray[np.float32]]) -> bytes:
    header: dict[str, Any] = {
        "__metadata__": {"format": "pt"},
        "ids": {"dtype": "I64", "shape": [0], "data_offsets": [0, 0]},
    }
    body = b""
    for name, value in named.items():
        header[name] = {
            "dtype": "F32",
            "shape": list(value.shape),
            "data_offsets": [len(body), len(body) + value.nbytes],
        }
        body += value.tobytes()
    encoded = json.dumps(header).encode()
    return len(encoded).to_bytes(8, "little") + encoded + body


def write_encoder(folder: Path) -> None:
    """Write model.int8.onnx and tokenizer.json."""
    from classifiers.train.export import quantise
    from classifiers.train.graph import Shape

    folder.mkdir(parents=True, exist_ok=True)
    quantise(tensors(), Shape(layers=LAYERS, heads=HEADS, hidden=HIDDEN), folder / "model.int8.onnx")
    (folder / "tokenizer.json").write_bytes(tokenizer_bytes())


def write_folder(folder: Path, **changes: Any) -> str:
    """Write a whole folder whose head tells "z" from "a", and return the digest of its card; ``changes`` go into the card."""
    from classifiers.encoder import Encoder, Reader
    from classifiers.train.logistic import fit

    write_encoder(folder)
    reader = Reader.load((folder / "tokenizer.json").read_bytes(), 16, 8)
    encoder = Encoder.load((folder / "model.int8.onnx").read_bytes(), 2, 3)
    good, bad = ["a a", "a a a a"], ["z z", "z z z z"]
    vectors = np.array([encoder.embed(reader.plan(text, 1).spans[0].ids) for text in good + bad], dtype=np.float64)
    weights, bias = fit(vectors, np.array([0.0, 0.0, 1.0, 1.0]), np.ones(4), 0.01)
    head = {"categories": ["cbrn"], "weights": [weights.tolist()], "bias": [bias]}
    (folder / "head.json").write_text(json.dumps(head))
    names = ("model.int8.onnx", "tokenizer.json", "head.json")
    card = {
        "id": "tiny",
        "version": "1",
        "categories": ["cbrn"],
        "thresholds": {"cbrn.block": 0.5, "cbrn.near": 0.3},
        "window_tokens": 16,
        "stride_tokens": 8,
        "special_tokens": [2, 3],
        "canaries": {"category": "cbrn", "good": good, "bad": bad},
        "files": {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in names},
    }
    content = json.dumps({**card, **changes}).encode()
    (folder / "card.json").write_bytes(content)
    return hashlib.sha256(content).hexdigest()
