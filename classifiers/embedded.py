"""The classifier that runs inside the gateway: verified weights, worker threads, start-up canaries."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from classifiers.artefacts import HEAD_FILE, MODEL_FILE, TOKENIZER_FILE, Canaries, load_artefacts, load_card
from classifiers.base import Card, ClassifierArtefact
from classifiers.batching import Workers
from classifiers.canaries import tell_apart, texts
from classifiers.cascade import StagedEngine, near
from classifiers.encoder import Encoder, Head, OnnxEngine, Reader
from classifiers.job import Engine
from classifiers.scoring import CACHED_WINDOWS, PooledClassifier
from classifiers.stage_zero import STAGE_ZERO_FILE, StageZero

START_SECONDS: Final = 60.0
NO_LIMIT: Final = 10_000


@dataclass(frozen=True, slots=True)
class Loaded:
    """What a loader returns: an engine that is ready to run, and the texts that it must tell apart."""

    engine: Engine
    canaries: Canaries


@dataclass(frozen=True, slots=True)
class Sizes:
    """Worker threads, jobs that may wait before the classifier refuses more, and windows kept in the cache."""

    threads: int = 2
    waiting: int = 256
    cached_windows: int = CACHED_WINDOWS


def load_folder(folder: Path, card_sha256: str) -> Loaded:
    """Load the embedded engine of a folder of weights. Raises ClassifierArtefact."""
    artefacts = load_artefacts(folder, card_sha256)
    card, files = artefacts.card, artefacts.files
    try:
        model, tokenizer, head = files[MODEL_FILE], files[TOKENIZER_FILE], files[HEAD_FILE]
    except KeyError as error:
        raise ClassifierArtefact(f"the card does not pin {error.args[0]}") from error
    engine = OnnxEngine(
        Reader.load(tokenizer, card.window_tokens, card.stride_tokens),
        Encoder.load(model, *artefacts.special_tokens),
        Head.load(head, card.categories),
    )
    return Loaded(staged(engine, files.get(STAGE_ZERO_FILE), card), artefacts.canaries)


def staged(engine: Engine, content: bytes | None, card: Card) -> Engine:
    """The engine behind its stage zero, where the folder has one. Raises ClassifierArtefact, also for one that clears what is near."""
    if content is None:
        return engine
    zero = StageZero.load(content, len(card.categories))
    for name, most in zip(card.categories, zero.most, strict=True):
        if most >= near(card, name):
            raise ClassifierArtefact(f"{STAGE_ZERO_FILE} would clear what is near {name}")
    return StagedEngine(zero, engine)


class EmbeddedClassifier(PooledClassifier):
    """A ``Classifier`` over an engine and threads in this process."""

    def __init__(
        self, card: Card, load: Callable[[], Loaded], sizes: Sizes | None = None, start_seconds: float = START_SECONDS
    ) -> None:
        self._load = load
        self._sizes = sizes or Sizes()
        self._start_seconds = start_seconds
        super().__init__(card, self._threads, self._sizes.threads, self._sizes.cached_windows)

    @classmethod
    def from_folder(cls, folder: Path, card_sha256: str) -> EmbeddedClassifier:
        """A classifier of the weights in ``folder``, whose card has this digest. Raises ClassifierArtefact."""
        return cls(load_card(folder, card_sha256), lambda: load_folder(folder, card_sha256))

    async def _threads(self) -> Workers:
        loaded = await asyncio.to_thread(self._load)
        sizes = self._sizes
        workers = Workers(loaded.engine, len(self._card.categories), threads=sizes.threads, waiting=sizes.waiting)
        try:
            scoring = workers.run(texts(loaded.canaries), NO_LIMIT)
            await tell_apart(self._card, loaded.canaries, scoring, self._start_seconds)
        except BaseException:
            await workers.close()
            raise
        return workers
