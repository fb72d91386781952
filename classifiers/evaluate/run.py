"""``python -m classifiers evaluate``: score rows with a classifier, with all their decoded views as the gateway does."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from typing import Final

from rich.console import Console
from rich.progress import Progress

from classifiers.base import Classifier
from classifiers.evaluate.figures import Scored
from classifiers.rows import Row
from gateway.text.mentions import mentions
from gateway.text.views import views

# Texts of about equal length at a time, and calls at a time: enough to keep every worker busy to the end.
BATCH: Final = 32
CALLS: Final = 3
NO_BUDGET: Final = 1_000_000
SECONDS: Final = 600.0

Peaks = dict[str, tuple[float, ...]]


def readings(text: str) -> tuple[str, ...]:
    """The text and its decoded views; blank ones are left out."""
    return tuple(view.text for view in views(text) if view.text.strip())


async def score_texts(classifier: Classifier, texts: Sequence[str], advance: Callable[[int], None]) -> Peaks:
    """The highest score per category of each distinct text. Raises ClassifierError."""
    ordered = iter(sorted(set(texts), key=len))
    found: Peaks = {}

    async def work() -> None:
        while batch := list(islice(ordered, BATCH)):
            answers = await classifier.score(batch, budget=NO_BUDGET, seconds=SECONDS)
            for text, answer in zip(batch, answers, strict=True):
                found[text] = tuple(answer.peak(index) for index in range(len(classifier.card.categories)))
            advance(len(batch))

    async with asyncio.TaskGroup() as group:
        for _ in range(CALLS):
            group.create_task(work())
    return found


async def score_rows(classifier: Classifier, rows: Sequence[Row]) -> list[Scored]:
    """Start the classifier, score every row over all its views, close it. Raises ClassifierError."""
    read = [readings(row.text) for row in rows]
    texts = sorted({text for one in read for text in one})
    await classifier.start()
    try:
        with Progress(console=Console(stderr=True), transient=True) as progress:
            task = progress.add_task("scoring", total=len(texts))
            peaks = await score_texts(classifier, texts, lambda done: progress.advance(task, done))
    except ExceptionGroup as errors:  # every call asks the same classifier, so that the first failure stands for all
        raise errors.exceptions[0] from None
    finally:
        await classifier.close()
    return [_scored(row, one, peaks, classifier.card.categories) for row, one in zip(rows, read, strict=True)]


def _scored(row: Row, read: Sequence[str], peaks: Peaks, categories: Sequence[str]) -> Scored:
    scores = {name: max((peaks[text][place] for text in read), default=0.0) for place, name in enumerate(categories)}
    named = any(map(mentions, read))
    return Scored(row.label, row.source, row.lang, scores, row.attack, row.field, row.genre, named)


def relabelled(rows: Sequence[Row], relabels: Mapping[str, str]) -> list[Row]:
    """The rows with the labels of a re-reading; excluded ones are left out."""
    changed = [replace(row, label=relabels.get(row.id, row.label)) for row in rows]
    return [row for row in changed if row.label != "excluded"]
