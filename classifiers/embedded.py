"""The classifier that runs inside the gateway: verified weights, worker threads, a cache of scores, start-up canaries."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from classifiers.artefacts import HEAD_FILE, MODEL_FILE, TOKENIZER_FILE, Canaries, load_artefacts, load_card
from classifiers.base import (
    Card,
    ClassifierArtefact,
    ClassifierError,
    ClassifierTimeout,
    ClassifierUnavailable,
    OverBudget,
    Scored,
)
from classifiers.batching import Engine, Workers
from classifiers.cache import ScoreCache
from classifiers.encoder import Encoder, Head, OnnxEngine, Reader

START_SECONDS: Final = 60.0
# Hashing more than this on the event loop would take over a millisecond.
HASH_ON_LOOP_CHARS: Final = 256 * 1024


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
    cached_windows: int = 50_000


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
    return Loaded(engine, artefacts.canaries)


class EmbeddedClassifier:
    """A ``Classifier`` over an engine in this process. Belongs to the event loop that starts it."""

    def __init__(
        self, card: Card, load: Callable[[], Loaded], sizes: Sizes | None = None, start_seconds: float = START_SECONDS
    ) -> None:
        self._card = card
        self._load = load
        self._sizes = sizes or Sizes()
        self._start_seconds = start_seconds
        self._cache = ScoreCache(card.digest, secrets.token_bytes(32), self._sizes.cached_windows)
        self._workers: Workers | None = None

    @classmethod
    def from_folder(cls, folder: Path, card_sha256: str) -> EmbeddedClassifier:
        """A classifier of the weights in ``folder``, whose card has this digest. Raises ClassifierArtefact."""
        return cls(load_card(folder, card_sha256), lambda: load_folder(folder, card_sha256))

    @property
    def card(self) -> Card:
        """The card, known before the start."""
        return self._card

    async def start(self) -> None:
        """See ``Classifier.start``; returns at once when already started."""
        if self._workers is not None:
            return
        loaded = await asyncio.to_thread(self._load)
        sizes = self._sizes
        workers = Workers(loaded.engine, len(self._card.categories), threads=sizes.threads, waiting=sizes.waiting)
        try:
            await self._tell_apart(workers, loaded.canaries)
        except ClassifierError as error:
            await workers.close()
            raise (
                error if isinstance(error, ClassifierArtefact) else ClassifierArtefact(f"canaries: {error}")
            ) from error
        self._workers = workers

    async def score(self, messages: Sequence[str], *, budget: int, seconds: float) -> tuple[Scored, ...]:
        """See ``Classifier.score``. The number of windows in OverBudget is a lower bound: counting stops there."""
        if self._workers is None:
            raise ClassifierUnavailable("not started")
        try:
            async with asyncio.timeout(seconds):
                return await self._score(self._workers, messages, budget)
        except TimeoutError:
            raise ClassifierTimeout(f"no score within {seconds} seconds") from None

    async def close(self) -> None:
        """See ``Classifier.close``."""
        workers, self._workers = self._workers, None
        if workers is not None:
            await workers.close()

    async def _score(self, workers: Workers, messages: Sequence[str], budget: int) -> tuple[Scored, ...]:
        keys = await self._keys(messages)
        known = [self._cache.get(key) for key in keys]
        used = sum(len(scored.windows) for scored in known if scored is not None)
        if used > budget:
            raise OverBudget(used, budget)
        missing = [index for index, scored in enumerate(known) if scored is None]
        if missing:
            try:
                fresh = await workers.run([messages[index] for index in missing], budget - used)
            except OverBudget as error:
                raise OverBudget(used + error.windows, budget) from None
            for index, scored in zip(missing, fresh, strict=True):
                known[index] = scored
                self._cache.put(keys[index], scored)
        return tuple(scored for scored in known if scored is not None)

    async def _keys(self, messages: Sequence[str]) -> list[bytes]:
        if sum(map(len, messages)) <= HASH_ON_LOOP_CHARS:
            return [self._cache.key(message) for message in messages]
        return await asyncio.to_thread(lambda: [self._cache.key(message) for message in messages])

    async def _tell_apart(self, workers: Workers, canaries: Canaries) -> None:
        category = self._card.categories.index(canaries.category)
        threshold = self._card.thresholds[f"{canaries.category}.block"]
        try:
            async with asyncio.timeout(self._start_seconds):
                scored = await workers.run([*canaries.good, *canaries.bad], 10_000)
        except TimeoutError:
            raise ClassifierArtefact("canaries: no score in time") from None
        peaks = [one.peak(category) for one in scored]
        good, bad = peaks[: len(canaries.good)], peaks[len(canaries.good) :]
        if not good or not bad or max(good) >= threshold or min(bad) < threshold:
            raise ClassifierArtefact("the canaries were not told apart")
