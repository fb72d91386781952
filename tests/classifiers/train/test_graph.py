from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from onnxruntime import InferenceSession
from support.tiny_model import HEADS, HIDDEN, LAYERS, tensors

from classifiers.train.graph import Shape, build_graph

Floats = NDArray[np.float64]


def norm(x: Floats, w: Mapping[str, Floats], name: str) -> Floats:
    centred = x - x.mean(-1, keepdims=True)
    return centred / np.sqrt((centred**2).mean(-1, keepdims=True) + 1e-12) * w[f"{name}.weight"] + w[f"{name}.bias"]


def linear(x: Floats, w: Mapping[str, Floats], name: str) -> Floats:
    return x @ w[f"{name}.weight"].T + w[f"{name}.bias"]


def reference(w: Mapping[str, Floats], ids: list[int]) -> Floats:
    """The encoder as its paper writes it, head by head, in double precision."""
    e = "embeddings"
    x = w[f"{e}.word_embeddings.weight"][ids] + w[f"{e}.position_embeddings.weight"][: len(ids)]
    x = norm(x + w[f"{e}.token_type_embeddings.weight"][0], w, f"{e}.LayerNorm")
    size = HIDDEN // HEADS
    for layer in range(LAYERS):
        p = f"encoder.layer.{layer}"
        q, k, v = (linear(x, w, f"{p}.attention.self.{part}") for part in ("query", "key", "value"))
        mixed = []
        for head in range(HEADS):
            part = slice(head * size, (head + 1) * size)
            logits = np.exp(q[:, part] @ k[:, part].T / math.sqrt(size))
            mixed.append(logits / logits.sum(-1, keepdims=True) @ v[:, part])
        x = norm(x + linear(np.hstack(mixed), w, f"{p}.attention.output.dense"), w, f"{p}.attention.output.LayerNorm")
        wide = linear(x, w, f"{p}.intermediate.dense")
        wide = wide * 0.5 * (1 + np.vectorize(math.erf)(wide / math.sqrt(2)))
        x = norm(x + linear(wide, w, f"{p}.output.dense"), w, f"{p}.output.LayerNorm")
    mean = x.mean(0)
    return mean / np.linalg.norm(mean)


def test_graph_computes_the_encoder() -> None:
    """The graph equals an independent double-precision reference, for any length and in batches of one length."""
    weights = tensors()
    model = build_graph(weights, Shape(layers=LAYERS, heads=HEADS, hidden=HIDDEN))
    session = InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    double = {name: value.astype(np.float64) for name, value in weights.items()}
    chance = np.random.default_rng(0)
    for length in (1, 2, 9, 40):
        ids = chance.integers(0, 40, (3, length))
        found = session.run(None, {"input_ids": ids})[0]
        expected = np.array([reference(double, row.tolist()) for row in ids])
        assert np.abs(found - expected).max() < 1e-5
