"""Which rows the encoder is tuned on and which it never sees: by author, by source, and by pair.

Held out whole: two authors of English pairs, three public sources of ordinary text, all public positives but one source's, and every
public positive in another language. Of the other authors a quarter of the pairs is held out, of large public sources all but a share.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Final

from classifiers.train.labels import Example

HELD_SOURCES: Final = frozenset(
    {
        "authored/a1",
        "authored/a4",
        "clinc/oos-eval (CLINC150)",
        "lm-sys/FastChat (MT-Bench, Vicuna bench)",
        "meta-llama/PurpleLlama (CyberSecEval FRR)",
        "hand-written near-miss (dev)",
    }
)
# Every row is learned from, but for public positives in other languages.
WHOLE_SOURCES: Final = frozenset(
    {"authored/a2", "authored/a3", "authored/a5", "authored pairs", "authored near misses"}
)
PUBLIC_POSITIVES: Final = "mlcommons/ailuminate"
# Of a public source, so many rows of a kind are learned from.
MOST: Final = {"benign": 900, "adjacent": 600, "other_harm": 350, "poison": 350}
QUARTERS: Final = 4


def place(text: str) -> int:
    """A fixed number that places a text, or a pair, among the others."""
    return int.from_bytes(hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()[:8], "big")


def authored(example: Example) -> bool:
    """Whether a person wrote the row for this project."""
    return example.row.source.startswith("authored")


def learned(examples: Sequence[Example]) -> list[bool]:
    """For each example, whether the encoder is tuned on it. The halves of a pair share their answer."""
    taken: dict[int, bool] = {}
    public: dict[tuple[str, str], list[int]] = {}
    for index, example in enumerate(examples):
        source = example.row.source
        if source in HELD_SOURCES:
            taken[index] = False
        elif source in WHOLE_SOURCES:
            taken[index] = True
        elif authored(example):
            taken[index] = place(example.row.group or example.row.id) % QUARTERS != 0
        elif example.kind == "cbrn":
            taken[index] = source == PUBLIC_POSITIVES and example.row.lang == "en"
        else:
            public.setdefault((source, example.kind), []).append(index)
    for (_, kind), indices in public.items():
        chosen = set(sorted(indices, key=lambda index: place(examples[index].row.id))[: MOST[kind]])
        taken.update({index: index in chosen for index in indices})
    return [taken[index] for index in range(len(examples))]
