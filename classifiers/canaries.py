"""The start-up test of an engine: texts that it must tell apart before it takes work."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Sequence

from classifiers.artefacts import Canaries
from classifiers.base import Card, ClassifierArtefact, ClassifierError, Scored


def texts(canaries: Canaries) -> tuple[str, ...]:
    """What is scored: the good ones first."""
    return (*canaries.good, *canaries.bad)


async def tell_apart(card: Card, canaries: Canaries, scoring: Awaitable[Sequence[Scored]], seconds: float) -> None:
    """Await the scores of ``texts`` and hold them against the block threshold.

    Raises ClassifierArtefact: not told apart, no scores in time, or a failure of the engine on them.
    """
    try:
        async with asyncio.timeout(seconds):
            scored = await scoring
    except TimeoutError:
        raise ClassifierArtefact("canaries: no score in time") from None
    except ClassifierError as error:
        raise ClassifierArtefact(f"canaries: {error}") from error
    category = card.categories.index(canaries.category)
    threshold = card.thresholds[f"{canaries.category}.block"]
    peaks = [one.peak(category) for one in scored]
    good, bad = peaks[: len(canaries.good)], peaks[len(canaries.good) :]
    if not good or not bad or max(good) >= threshold or min(bad) < threshold:
        raise ClassifierArtefact("the canaries were not told apart")
