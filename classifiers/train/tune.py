"""``python -m classifiers tune``: the encoder's weights, tuned on the rows that ``split`` names. Needs torch, which nothing else does.

Both categories are learned together, through a linear layer on the embedding; ``train`` fits the shipped heads afterwards, on the
quantised encoder. A harmful text longer than a window is learned whole and by its last window, since the ask stands there most
often; a harmless one by all its windows.
"""

from __future__ import annotations

import importlib
import math
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from classifiers.base import ClassifierArtefact
from classifiers.train.graph import LAYER_NORM_EPSILON, Shape
from classifiers.train.labels import CATEGORIES, Example

SHARPNESS: Final = 10.0
LONGEST: Final = 128


@dataclass(frozen=True, slots=True)
class Tuning:
    """The knobs of a run. ``frozen``: layers that keep their weights, beside the embedding table."""

    epochs: int = 3
    batch: int = 32
    rate: float = 1.5e-4
    head_rate: float = 2e-3
    frozen: int = 2
    warm_up: float = 0.06
    decay: float = 0.01
    seed: int = 20261125


@dataclass(frozen=True, slots=True)
class Lesson:
    """One sequence of token ids without special ones, a target per category (None: says nothing), and its weight."""

    ids: tuple[int, ...]
    targets: tuple[float | None, ...]
    weight: float = 1.0


def lessons(example: Example, windows: Sequence[tuple[int, ...]], ids: tuple[int, ...], weight: float) -> list[Lesson]:
    """What is learned from one example, whose tokens are ``ids``, cut into ``windows``."""
    targets = tuple(example.target(category) for category in CATEGORIES)
    if len(windows) == 1:
        return [Lesson(ids, targets, weight)]
    if 1.0 in targets:
        return [Lesson(ids[-LONGEST:], targets, weight), Lesson(ids[-len(windows[0]) :], targets, weight)]
    return [Lesson(ids[:LONGEST], targets, weight), *(Lesson(window, targets, weight) for window in windows[1:2])]


def tune(
    weights: Mapping[str, NDArray[np.float32]],
    epochs: Sequence[Sequence[Lesson]],
    shape: Shape,
    special: tuple[int, int],
    tuning: Tuning,
    advance: Callable[[int, float], None],
) -> tuple[dict[str, NDArray[np.float32]], tuple[NDArray[np.float32], NDArray[np.float32]]]:
    """The tuned weights under their old names, and the head's weights and bias.

    ``advance`` hears of every batch: how many lessons, and the loss. Raises ClassifierArtefact without torch.
    """
    torch = load_torch()
    torch.manual_seed(tuning.seed)
    tensors = {name: torch.tensor(value) for name, value in weights.items() if value.ndim}
    learnt = [name for name in tensors if _is_learnt(name, tuning.frozen)]
    for name in learnt:
        tensors[name].requires_grad_(True)
    head = torch.nn.Linear(shape.hidden, len(CATEGORIES))
    torch.nn.init.normal_(head.weight, std=0.02)
    groups = [
        {"params": [tensors[name] for name in learnt], "lr": tuning.rate, "weight_decay": tuning.decay},
        {"params": list(head.parameters()), "lr": tuning.head_rate, "weight_decay": 0.0},
    ]
    optimiser = torch.optim.AdamW(groups)
    chance = random.Random(tuning.seed)  # noqa: S311  (reproducible, not secret)
    batches = [batch for part in epochs for batch in _batches(part, tuning.batch, chance)]
    rates = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: _slope(step, len(batches), tuning.warm_up))
    for batch in batches:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            logits = head(embed(tensors, _padded(batch, special), shape) * SHARPNESS)
        loss = _loss(logits.float(), batch)
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_([tensors[name] for name in learnt], 1.0)
        optimiser.step()
        rates.step()
        advance(len(batch), float(loss.detach()))
    fitted = (head.weight.detach().numpy() * SHARPNESS, head.bias.detach().numpy())
    return {name: tensor.detach().numpy() for name, tensor in tensors.items()}, fitted


def load_torch() -> Any:
    """The module. Raises ClassifierArtefact where it is not installed."""
    try:
        return importlib.import_module("torch")
    except ImportError as error:
        raise ClassifierArtefact("tuning needs torch: pip install torch==2.13.0") from error


def embed(tensors: Mapping[str, Any], padded: tuple[Any, Any], shape: Shape) -> Any:
    """Embeddings of length one, as the exported graph computes them: [batch, hidden]."""
    functional = load_torch().nn.functional
    ids, mask = padded

    def norm(value: Any, name: str) -> Any:
        scale, bias = tensors[f"{name}.weight"], tensors[f"{name}.bias"]
        return functional.layer_norm(value, (shape.hidden,), scale, bias, LAYER_NORM_EPSILON)

    def linear(value: Any, name: str) -> Any:
        return functional.linear(value, tensors[f"{name}.weight"], tensors[f"{name}.bias"])

    placed = tensors["embeddings.position_embeddings.weight"][: ids.shape[1]]
    words = tensors["embeddings.word_embeddings.weight"][ids]
    hidden = norm(words + placed + tensors["embeddings.token_type_embeddings.weight"][0], "embeddings.LayerNorm")
    for index in range(shape.layers):
        prefix = f"encoder.layer.{index}"
        split = [
            linear(hidden, f"{prefix}.attention.self.{part}").unflatten(-1, (shape.heads, -1)).transpose(1, 2)
            for part in ("query", "key", "value")
        ]
        mixed = functional.scaled_dot_product_attention(*split, attn_mask=mask[:, None, None, :])
        merged = linear(mixed.transpose(1, 2).flatten(2), f"{prefix}.attention.output.dense")
        hidden = norm(merged + hidden, f"{prefix}.attention.output.LayerNorm")
        wide = functional.gelu(linear(hidden, f"{prefix}.intermediate.dense"))
        hidden = norm(linear(wide, f"{prefix}.output.dense") + hidden, f"{prefix}.output.LayerNorm")
    kept = mask[:, :, None]
    return functional.normalize((hidden * kept).sum(1) / kept.sum(1), dim=-1)


def _is_learnt(name: str, frozen: int) -> bool:
    if not name.startswith("encoder.layer."):
        return False
    return int(name.split(".")[2]) >= frozen


def _slope(step: int, steps: int, warm_up: float) -> float:
    done = step / max(1, steps)
    return done / warm_up if done < warm_up else 0.5 * (1 + math.cos(math.pi * (done - warm_up) / (1 - warm_up)))


def _batches(part: Sequence[Lesson], size: int, chance: random.Random) -> Iterator[Sequence[Lesson]]:
    """Batches of similar length, in random order: padding costs as much as text."""
    ordered = sorted(part, key=lambda lesson: (len(lesson.ids), chance.random()))
    batches = [ordered[start : start + size] for start in range(0, len(ordered), size)]
    chance.shuffle(batches)
    return iter(batches)


def _padded(batch: Sequence[Lesson], special: tuple[int, int]) -> tuple[Any, Any]:
    torch = load_torch()
    longest = max(len(lesson.ids) for lesson in batch) + 2
    ids = torch.zeros((len(batch), longest), dtype=torch.long)
    mask = torch.zeros((len(batch), longest), dtype=torch.bool)
    for row, lesson in enumerate(batch):
        whole = (special[0], *lesson.ids, special[1])
        ids[row, : len(whole)] = torch.tensor(whole)
        mask[row, : len(whole)] = True
    return ids, mask


def _loss(logits: Any, batch: Sequence[Lesson]) -> Any:
    torch = load_torch()
    functional = torch.nn.functional
    targets = torch.tensor([[target or 0.0 for target in lesson.targets] for lesson in batch])
    known = torch.tensor([[float(target is not None) * lesson.weight for target in lesson.targets] for lesson in batch])
    losses = functional.binary_cross_entropy_with_logits(logits, targets, reduction="none")
    return (losses * known).sum() / len(batch)
