"""What the encoder says of every window of some texts: the lessons that stage zero is fitted on. Cached by model and texts."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from rich.progress import Progress

from classifiers.job import Engine

NO_LIMIT: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class Lessons:
    """Windows of texts. ``ids`` int32 [tokens], all windows' token ids in a row; ``sizes`` int32 [windows], how many each has;
    ``owners`` int64 [windows], the index of each one's text; ``scores`` float32 [windows, categories]."""

    ids: NDArray[np.int32]
    sizes: NDArray[np.int32]
    owners: NDArray[np.int64]
    scores: NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Teacher:
    """An engine, the digest that names it, and the folder of the cache."""

    engine: Engine
    digest: str
    cache: Path

    def lessons(self, texts: Sequence[str], title: str) -> Lessons:
        """Every window of every text, scored, showing progress under ``title``."""
        kept = self.cache / f"{self._key(texts)}.npz"
        if kept.exists():
            with np.load(kept, allow_pickle=False) as stored:
                return Lessons(stored["ids"], stored["sizes"], stored["owners"], stored["scores"])
        found = self._compute(texts, title)
        self.cache.mkdir(parents=True, exist_ok=True)
        partial = kept.with_suffix(".partial.npz")
        np.savez(partial, ids=found.ids, sizes=found.sizes, owners=found.owners, scores=found.scores)
        partial.replace(kept)
        return found

    def _key(self, texts: Sequence[str]) -> str:
        digest = hashlib.sha256(f"lessons of {self.digest}".encode())
        for text in texts:
            digest.update(hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest())
        return digest.hexdigest()

    def _compute(self, texts: Sequence[str], title: str) -> Lessons:
        ids: list[int] = []
        sizes: list[int] = []
        owners: list[int] = []
        scores: list[tuple[float, ...]] = []
        with Progress(transient=True) as progress:
            task = progress.add_task(title, total=len(texts))
            for owner, text in enumerate(texts):
                for span in self.engine.plan(text, NO_LIMIT).spans:
                    ids.extend(span.ids)
                    sizes.append(len(span.ids))
                    owners.append(owner)
                    scores.append(self.engine.infer(span.ids))
                progress.advance(task)
        return Lessons(
            np.array(ids, np.int32),
            np.array(sizes, np.int32),
            np.array(owners, np.int64),
            np.array(scores, np.float32),
        )


def joined(parts: Sequence[Lessons], offsets: Sequence[int]) -> Lessons:
    """Several lessons as one; ``offsets``: what is added to the owners of each part."""
    return Lessons(
        np.concatenate([part.ids for part in parts]),
        np.concatenate([part.sizes for part in parts]),
        np.concatenate([part.owners + offset for part, offset in zip(parts, offsets, strict=True)]),
        np.concatenate([part.scores for part in parts]),
    )
