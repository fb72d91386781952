"""Guards with a score per class: vLLM's ``/classify`` and ``/pooling``, TEI's ``/predict``, and Triton's and KServe's v2 ``infer``.

Documented at docs.vllm.ai (pooling models: ``data[].label``, ``probs``, ``num_classes``; ``/pooling``: ``data[].data``),
in TEI's OpenAPI description (``/predict`` with a batch of one-element lists, ``truncate``, ``raw_scores``) and in the Open
Inference Protocol (``/v2/models/NAME/infer``, tensors with name, shape, datatype and row-major data). The operator names
the classes in the order of the model's outputs; where a server names one too, it must be the same.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

import msgspec

from classifiers.base import ClassifierInvalid
from classifiers.guards.calls import Call, call, decoded, probability
from classifiers.guards.spec import Guard


class _Classified(msgspec.Struct):
    index: int
    label: str | None
    probs: list[float]


class _ClassifiedList(msgspec.Struct):
    data: list[_Classified]


class _Pooled(msgspec.Struct):
    index: int
    data: list[float]


class _PooledList(msgspec.Struct):
    data: list[_Pooled]


class _Predicted(msgspec.Struct):
    label: str
    score: float


class _Tensor(msgspec.Struct):
    name: str
    shape: list[int]
    data: list[Any]


class _Inferred(msgspec.Struct):
    outputs: list[_Tensor]


class Classes:
    """What the four have in common: a batch of texts in one request, a row of scores for each."""

    def __init__(self, guard: Guard) -> None:
        self.guard = guard
        self.batch = guard.batch
        self.names = tuple(guard.labels)

    def row(self, scores: Sequence[float]) -> tuple[float, ...]:
        """One score per category from one per class. Raises ClassifierInvalid."""
        if len(scores) != len(self.names):
            raise ClassifierInvalid(f"the guard has {len(scores)} classes, {len(self.names)} are named")
        return self.guard.scores(dict(zip(self.names, map(probability, scores), strict=True)))

    def ordered(self, rows: Mapping[int, tuple[float, ...]], given: int, texts: int) -> list[tuple[float, ...]]:
        """The rows by index. Raises ClassifierInvalid unless there is exactly one per text."""
        if given != texts or rows.keys() != set(range(texts)):
            raise ClassifierInvalid(f"the guard's server gave {given} results for {texts} texts")
        return [rows[index] for index in range(texts)]


class VllmClassify(Classes):
    """vLLM's ``/classify``."""

    def calls(self, texts: Sequence[str]) -> tuple[Call, ...]:
        """See ``Api.calls``."""
        return (call("/classify", {"model": self.guard.model, "input": list(texts)}),)

    def read(self, replies: Sequence[bytes], texts: int) -> list[tuple[float, ...]]:
        """See ``Api.read``."""
        found = decoded(replies[0], _ClassifiedList).data
        rows = {one.index: self.row(one.probs) for one in found}
        for one in found:
            highest = self.names[max(range(len(one.probs)), key=one.probs.__getitem__)]
            if one.label is not None and one.label != highest:
                raise ClassifierInvalid(
                    f"the guard's highest class is not {highest!r}: the classes are named in another order"
                )
        return self.ordered(rows, len(found), texts)


class VllmPooling(Classes):
    """vLLM's ``/pooling`` of a classification model."""

    def calls(self, texts: Sequence[str]) -> tuple[Call, ...]:
        """See ``Api.calls``."""
        return (call("/pooling", {"model": self.guard.model, "input": list(texts), "task": "classify"}),)

    def read(self, replies: Sequence[bytes], texts: int) -> list[tuple[float, ...]]:
        """See ``Api.read``."""
        found = decoded(replies[0], _PooledList).data
        return self.ordered({one.index: self.row(one.data) for one in found}, len(found), texts)


class Tei(Classes):
    """TEI's ``/predict``."""

    def calls(self, texts: Sequence[str]) -> tuple[Call, ...]:
        """See ``Api.calls``."""
        return (call("/predict", {"inputs": [[text] for text in texts], "truncate": False, "raw_scores": False}),)

    def read(self, replies: Sequence[bytes], texts: int) -> list[tuple[float, ...]]:
        """See ``Api.read``."""
        found = decoded(replies[0], list[list[_Predicted]])
        return self.ordered({index: self._named(one) for index, one in enumerate(found)}, len(found), texts)

    def _named(self, found: Sequence[_Predicted]) -> tuple[float, ...]:
        scores = {one.label: one.score for one in found}
        if len(scores) != len(found) or scores.keys() != set(self.names):
            raise ClassifierInvalid("the guard has other classes than are named")
        return self.row([scores[name] for name in self.names])


class Triton(Classes):
    """The v2 protocol of Triton and KServe: a tensor of texts in, a tensor of probabilities out."""

    def calls(self, texts: Sequence[str]) -> tuple[Call, ...]:
        """See ``Api.calls``."""
        tensor = {"name": self.guard.input, "shape": [len(texts), 1], "datatype": "BYTES", "data": list(texts)}
        body = {"inputs": [tensor], "outputs": [{"name": self.guard.output}]}
        return (call(f"/v2/models/{quote(self.guard.model, safe='')}/infer", body),)

    def read(self, replies: Sequence[bytes], texts: int) -> list[tuple[float, ...]]:
        """See ``Api.read``."""
        tensors = [tensor for tensor in decoded(replies[0], _Inferred).outputs if tensor.name == self.guard.output]
        if len(tensors) != 1 or tensors[0].shape != [texts, len(self.names)]:
            raise ClassifierInvalid(f"the guard gave no tensor {self.guard.output!r} of {texts} by {len(self.names)}")
        flat = _flat(tensors[0].data)
        width = len(self.names)
        if len(flat) != texts * width:
            raise ClassifierInvalid("the guard's tensor does not hold what its shape says")
        return [self.row(flat[index * width : (index + 1) * width]) for index in range(texts)]


def _flat(data: Sequence[Any]) -> list[float]:
    """The numbers of a tensor, nested by rows or not. Raises ClassifierInvalid."""
    rows = [item if isinstance(item, list) else [item] for item in data]
    flat = [value for row in rows for value in row]
    if not all(isinstance(value, int | float) and not isinstance(value, bool) for value in flat):
        raise ClassifierInvalid("the guard's tensor holds something else than numbers")
    return flat
