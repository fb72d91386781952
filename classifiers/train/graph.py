"""The encoder as an ONNX graph, written node by node: a BERT without masks, since every window is run at its own length.

Inputs: ``input_ids`` int64 [batch, length], all rows of one length, special tokens included.
Output: ``embedding`` float32 [batch, hidden], the mean over all tokens, of length one.
Query, key and value share one matrix product, and the scale of the attention is folded into the query weights.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

Weights = Mapping[str, NDArray[np.float32]]

OPSET: Final = 20
IR_VERSION: Final = 9
LAYER_NORM_EPSILON: Final = 1e-12


@dataclass(frozen=True, slots=True)
class Shape:
    """The shape of the encoder: MiniLM-L6 has 6 layers, 12 heads, 384 hidden units and 512 positions."""

    layers: int = 6
    heads: int = 12
    hidden: int = 384


@dataclass(slots=True)
class _Builder:
    """Collects nodes and constants; every method returns the name of the value that it adds."""

    nodes: list[Any] = field(default_factory=list)
    constants: list[Any] = field(default_factory=list)

    def constant(self, name: str, value: NDArray[Any]) -> str:
        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name

    def op(self, kind: str, inputs: Sequence[str], name: str, **attributes: Any) -> str:
        self.nodes.append(helper.make_node(kind, list(inputs), [name], name=name, **attributes))
        return name

    def linear(self, source: str, name: str, weight: NDArray[np.float32], bias: NDArray[np.float32]) -> str:
        product = self.op("MatMul", [source, self.constant(f"{name}.weight", weight.T)], f"{name}.product")
        return self.op("Add", [product, self.constant(f"{name}.bias", bias)], name)

    def norm(self, source: str, name: str, weights: Weights, prefix: str) -> str:
        scale = self.constant(f"{name}.scale", weights[f"{prefix}.weight"])
        bias = self.constant(f"{name}.bias", weights[f"{prefix}.bias"])
        return self.op("LayerNormalization", [source, scale, bias], name, axis=-1, epsilon=LAYER_NORM_EPSILON)


def _embed(build: _Builder, weights: Weights) -> str:
    words = build.constant("words", weights["embeddings.word_embeddings.weight"])
    # There is one segment only, so its vector is folded into the positions.
    placed = weights["embeddings.position_embeddings.weight"] + weights["embeddings.token_type_embeddings.weight"][0]
    positions = build.constant("positions", placed)
    looked_up = build.op("Gather", [words, "input_ids"], "word_vectors")
    shape = build.op("Shape", ["input_ids"], "ids_shape", start=1, end=2)
    start = build.constant("zero", np.array([0], dtype=np.int64))
    used = build.op("Slice", [positions, start, shape], "used_positions")
    return build.norm(build.op("Add", [looked_up, used], "embedded"), "hidden.0", weights, "embeddings.LayerNorm")


def _attend(build: _Builder, weights: Weights, source: str, index: int, shape: Shape) -> str:
    prefix, name = f"encoder.layer.{index}.attention", f"layer.{index}.attention"
    scale = np.float32(1.0 / np.sqrt(shape.hidden // shape.heads))
    parts = [
        (f"{prefix}.self.{part}", scale if part == "query" else np.float32(1)) for part in ("query", "key", "value")
    ]
    weight = np.concatenate([weights[f"{part}.weight"] * factor for part, factor in parts])
    bias = np.concatenate([weights[f"{part}.bias"] * factor for part, factor in parts])
    joined = build.linear(source, f"{name}.joined", weight, bias)
    split = [f"{name}.{part}" for part in ("q", "k", "v")]
    build.nodes.append(helper.make_node("Split", [joined], split, name=f"{name}.split", axis=2, num_outputs=3))
    heads = build.constant(f"{name}.heads", np.array([0, 0, shape.heads, shape.hidden // shape.heads], dtype=np.int64))
    turned = [
        build.op(
            "Transpose",
            [build.op("Reshape", [value, heads], f"{value}.split")],
            f"{value}.turned",
            perm=[0, 2, 3, 1] if value.endswith(".k") else [0, 2, 1, 3],
        )
        for value in split
    ]
    chance = build.op("Softmax", [build.op("MatMul", turned[:2], f"{name}.logits")], f"{name}.chance", axis=-1)
    mixed = build.op(
        "Transpose", [build.op("MatMul", [chance, turned[2]], f"{name}.mix")], f"{name}.back", perm=[0, 2, 1, 3]
    )
    flat = build.constant(f"{name}.flat", np.array([0, 0, shape.hidden], dtype=np.int64))
    merged = build.op("Reshape", [mixed, flat], f"{name}.merged")
    dense = f"{prefix}.output.dense"
    out = build.linear(merged, f"{name}.out", weights[f"{dense}.weight"], weights[f"{dense}.bias"])
    added = build.op("Add", [out, source], f"{name}.residual")
    return build.norm(added, f"{name}.norm", weights, f"{prefix}.output.LayerNorm")


def _feed_forward(build: _Builder, weights: Weights, source: str, index: int) -> str:
    prefix, name = f"encoder.layer.{index}", f"layer.{index}.feed"
    into, back = f"{prefix}.intermediate.dense", f"{prefix}.output.dense"
    wide = build.linear(source, f"{name}.wide", weights[f"{into}.weight"], weights[f"{into}.bias"])
    out = build.linear(
        build.op("Gelu", [wide], f"{name}.gelu"), f"{name}.out", weights[f"{back}.weight"], weights[f"{back}.bias"]
    )
    return build.norm(
        build.op("Add", [out, source], f"{name}.residual"), f"hidden.{index + 1}", weights, f"{prefix}.output.LayerNorm"
    )


def build_graph(weights: Weights, shape: Shape) -> Any:
    """The float32 ONNX model (``onnx.ModelProto``), checked by onnx."""
    build = _Builder()
    hidden = _embed(build, weights)
    for index in range(shape.layers):
        hidden = _feed_forward(build, weights, _attend(build, weights, hidden, index, shape), index)
    axis = build.constant("token_axis", np.array([1], dtype=np.int64))
    mean = build.op("ReduceMean", [hidden, axis], "mean", keepdims=0)
    build.op("LpNormalization", [mean], "embedding", axis=-1, p=2)
    graph = helper.make_graph(
        build.nodes,
        "minilm",
        [helper.make_tensor_value_info("input_ids", TensorProto.INT64, ["batch", "length"])],
        [helper.make_tensor_value_info("embedding", TensorProto.FLOAT, ["batch", shape.hidden])],
        build.constants,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)
    onnx.checker.check_model(model)
    return model
