from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path
from types import MappingProxyType

import pytest
from support.fake_engine import FakeEngine
from support.tiny_model import write_folder

from classifiers.artefacts import Canaries
from classifiers.base import Card, ClassifierArtefact, ClassifierTimeout, ClassifierUnavailable, OverBudget
from classifiers.embedded import EmbeddedClassifier, Loaded, Sizes
from classifiers.scoring import HASH_ON_LOOP_CHARS

CARD = Card("fake", "1", ("cbrn",), MappingProxyType({"cbrn.block": 0.05}), 64, 32, "0" * 64)
GOOD, BAD = ("ok",), ("forbidden",)


def make(engine: FakeEngine, canaries: Canaries | None = None, **sizes: int) -> EmbeddedClassifier:
    return EmbeddedClassifier(CARD, lambda: Loaded(engine, canaries or Canaries("cbrn", GOOD, BAD)), Sizes(**sizes))


@pytest.fixture
def engine() -> FakeEngine:
    return FakeEngine()


@pytest.fixture
async def running(engine: FakeEngine) -> AsyncIterator[EmbeddedClassifier]:
    classifier = make(engine)
    await classifier.start()
    await classifier.start()
    engine.inferred.clear()
    yield classifier
    engine.gate.set()
    await classifier.close()
    await classifier.close()


async def test_second_time_comes_from_the_cache(running: EmbeddedClassifier, engine: FakeEngine) -> None:
    """History that is sent again is not inferred again; only the new turn is."""
    first = await running.score(["one two", "three"], budget=10, seconds=5)
    again = await running.score(["one two", "three", "four"], budget=10, seconds=5)
    assert again[:2] == first
    assert sorted(engine.inferred) == ["four", "one", "three", "two"]


async def test_cached_windows_count_against_the_budget(running: EmbeddedClassifier, engine: FakeEngine) -> None:
    """A budget does not grow because a text was seen before; the error counts cached and new windows."""
    await running.score(["one two three"], budget=10, seconds=5)
    engine.inferred.clear()
    with pytest.raises(OverBudget) as refused:
        await running.score(["one two three", "a b"], budget=4, seconds=5)
    assert (refused.value.windows, refused.value.budget) == (5, 4)
    with pytest.raises(OverBudget):
        await running.score(["one two three"], budget=2, seconds=5)
    assert engine.inferred == []


async def test_queue_wait_counts_against_the_deadline(running: EmbeddedClassifier, engine: FakeEngine) -> None:
    """A call that never reaches a worker times out, is not inferred later, and is not cached."""
    holding = [asyncio.create_task(running.score([f"block x{index}"], budget=5, seconds=20)) for index in range(2)]
    for _ in holding:
        assert await asyncio.to_thread(engine.blocked.acquire, True, 10)
    with pytest.raises(ClassifierTimeout):
        await running.score(["waiting"], budget=5, seconds=0.01)
    engine.gate.set()
    await asyncio.gather(*holding)
    assert "waiting" not in engine.inferred
    assert len(await running.score(["waiting"], budget=5, seconds=5)) == 1


async def test_large_messages_are_hashed_off_the_loop(running: EmbeddedClassifier, engine: FakeEngine) -> None:
    """A message too large to hash on the loop is scored and cached like any other."""
    text = "x" * (HASH_ON_LOOP_CHARS + 1)
    for _ in range(2):
        assert (await running.score([text], budget=5, seconds=5))[0].peak(0) == 1.0
    assert len(engine.inferred) == 1


@pytest.mark.parametrize(
    "canaries",
    [
        Canaries("cbrn", ("forbidden",), ("forbidden",)),
        Canaries("cbrn", ("ok",), ("ok",)),
        Canaries("cbrn", (), ("forbidden",)),
        Canaries("cbrn", ("ok",), ()),
        Canaries("cbrn", ("nan",), ("forbidden",)),
        Canaries("cbrn", ("raise",), ("forbidden",)),
    ],
)
async def test_canaries_not_told_apart(engine: FakeEngine, canaries: Canaries) -> None:
    """Weights that do not separate the canaries, or fail on them, do not start."""
    classifier = make(engine, canaries)
    with pytest.raises(ClassifierArtefact):
        await classifier.start()
    with pytest.raises(ClassifierUnavailable):
        await classifier.score(["ok"], budget=5, seconds=5)


async def test_canaries_that_hang(engine: FakeEngine) -> None:
    """A model that does not answer at start-up is not waited for without end."""
    classifier = EmbeddedClassifier(CARD, lambda: Loaded(engine, Canaries("cbrn", ("block",), BAD)), Sizes(), 0.01)
    asyncio.get_running_loop().call_later(0.2, engine.gate.set)
    with pytest.raises(ClassifierArtefact, match="in time"):
        await classifier.start()


async def test_real_folder_starts_and_scores(tmp_path: Path) -> None:
    """A verified folder runs end to end."""
    classifier = EmbeddedClassifier.from_folder(tmp_path, write_folder(tmp_path))
    await classifier.start()
    harmless, harmful = await classifier.score(["a a", "z z"], budget=5, seconds=20)
    assert harmless.peak(0) < 0.5 <= harmful.peak(0)
    await classifier.close()


async def test_folder_that_changed_after_it_was_named_is_refused(tmp_path: Path) -> None:
    """Files are verified when they are loaded, not only when the classifier is made."""
    classifier = EmbeddedClassifier.from_folder(tmp_path, write_folder(tmp_path))
    with (tmp_path / "head.json").open("ab") as file:
        file.write(b" ")
        os.fsync(file.fileno())
    with pytest.raises(ClassifierArtefact, match=r"head\.json"):
        await classifier.start()


async def test_card_that_does_not_pin_a_file_is_refused(tmp_path: Path) -> None:
    """A model that no digest covers is not loaded."""
    classifier = EmbeddedClassifier.from_folder(tmp_path, write_folder(tmp_path, files={}))
    with pytest.raises(ClassifierArtefact, match="does not pin"):
        await classifier.start()


async def test_what_one_sent_answers_for_nobody_else(running: EmbeddedClassifier, engine: FakeEngine) -> None:
    """A text is inferred once for each partition, and then found in it."""
    for partition in ("one", "other", "one", "other"):
        await running.score(["word"], budget=10, seconds=30, partition=partition)
    assert engine.inferred == ["word", "word"]
