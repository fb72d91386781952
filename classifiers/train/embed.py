"""Embeddings of rows, window by window exactly as they are served, kept in a cache keyed by encoder and texts."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.progress import Progress

from classifiers.encoder import Encoder, Reader

NO_LIMIT = 1_000_000
THREADS = 2


@dataclass(frozen=True, slots=True)
class Embedded:
    """Windows of texts: ``vectors`` float32 [windows, hidden], ``owners`` int64 [windows], the index of each one's text."""

    vectors: NDArray[np.float32]
    owners: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Embedder:
    """A loaded reader and encoder, the digest that names them, and the folder of the cache."""

    reader: Reader
    encoder: Encoder
    digest: str
    cache: Path

    def embed(self, texts: Sequence[str], title: str) -> Embedded:
        """Embed every window of every text, showing progress under ``title``."""
        kept = self.cache / f"{self._key(texts)}.npz"
        if kept.exists():
            with np.load(kept, allow_pickle=False) as stored:
                return Embedded(stored["vectors"], stored["owners"])
        embedded = self._compute(texts, title)
        self.cache.mkdir(parents=True, exist_ok=True)
        partial = kept.with_suffix(".partial.npz")
        np.savez(partial, vectors=embedded.vectors, owners=embedded.owners)
        partial.replace(kept)
        return embedded

    def _key(self, texts: Sequence[str]) -> str:
        digest = hashlib.sha256(self.digest.encode())
        for text in texts:
            digest.update(hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest())
        return digest.hexdigest()

    def _compute(self, texts: Sequence[str], title: str) -> Embedded:
        vectors: list[NDArray[np.float32]] = []
        owners: list[int] = []
        with Progress(transient=True) as progress:
            task = progress.add_task(title, total=len(texts))
            with ThreadPoolExecutor(THREADS) as pool:
                for index, found in enumerate(pool.map(self._windows, texts)):
                    vectors += found
                    owners += [index] * len(found)
                    progress.advance(task)
        return Embedded(np.array(vectors, dtype=np.float32), np.array(owners, dtype=np.int64))

    def _windows(self, text: str) -> list[NDArray[np.float32]]:
        return [self.encoder.embed(span.ids) for span in self.reader.plan(text, NO_LIMIT).spans]


def highest_per_text(values: NDArray[np.float64], owners: NDArray[np.int64], texts: int) -> NDArray[np.float64]:
    """The largest value of each text's windows; 0 for a text without windows."""
    highest = np.zeros(texts)
    np.maximum.at(highest, owners, values)
    return highest
