from __future__ import annotations

import asyncio
from types import MappingProxyType

import pytest

from classifiers.artefacts import Canaries
from classifiers.base import Card, ClassifierArtefact, ClassifierUnavailable, Scored, Window
from classifiers.canaries import tell_apart, texts

CARD = Card("fake", "1", ("other", "cbrn"), MappingProxyType({"cbrn.block": 0.5}), 64, 32, "0" * 64)
CANARIES = Canaries("cbrn", ("good", "fine"), ("bad",))


async def scores(*peaks: float) -> list[Scored]:
    """One result per text, with the category's score and a misleading one beside it."""
    return [Scored((Window(0, 1, (1 - peak, peak)),), 1) for peak in peaks]


async def test_told_apart() -> None:
    """Good below the threshold, bad at it or above: passed."""
    assert texts(CANARIES) == ("good", "fine", "bad")
    await tell_apart(CARD, CANARIES, scores(0.1, 0.49, 0.5), 30)


@pytest.mark.parametrize("peaks", [(0.1, 0.5, 0.9), (0.1, 0.1, 0.49), (0.1, 0.1), ()])
async def test_not_told_apart(peaks: tuple[float, ...]) -> None:
    """One of them on the wrong side, or missing, is enough."""
    with pytest.raises(ClassifierArtefact, match="not told apart"):
        await tell_apart(CARD, CANARIES, scores(*peaks), 30)


async def test_a_failure_and_silence_are_refusals() -> None:
    """An engine that fails or hangs on the canaries is not used."""

    async def fails() -> list[Scored]:
        raise ClassifierUnavailable("gone")

    async def hangs() -> list[Scored]:
        await asyncio.Event().wait()
        return []

    with pytest.raises(ClassifierArtefact, match="gone"):
        await tell_apart(CARD, CANARIES, fails(), 30)
    with pytest.raises(ClassifierArtefact, match="in time"):
        await tell_apart(CARD, CANARIES, hangs(), 0.01)
