"""``python -m classifiers evaluate``: score rows with a shipped classifier, exactly as the gateway does, and report."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from rich.progress import Progress

from classifiers.base import Classifier
from classifiers.evaluate.figures import Scored, as_json, as_markdown, measure
from classifiers.rows import Row

# Rows at a time: enough to keep both workers busy.
BATCH: Final = 16
NO_BUDGET: Final = 1_000_000
SECONDS: Final = 600.0


async def score_rows(classifier: Classifier, rows: Sequence[Row]) -> list[Scored]:
    """Start the classifier, score every row, close it. Raises ClassifierError."""
    await classifier.start()
    scored = []
    try:
        with Progress(transient=True) as progress:
            task = progress.add_task("scoring", total=len(rows))
            for start in range(0, len(rows), BATCH):
                batch = rows[start : start + BATCH]
                answers = await classifier.score([row.text for row in batch], budget=NO_BUDGET, seconds=SECONDS)
                for row, answer in zip(batch, answers, strict=True):
                    peaks = {name: answer.peak(index) for index, name in enumerate(classifier.card.categories)}
                    scored.append(Scored(row.label, row.source, row.lang, peaks))
                progress.advance(task, len(batch))
    finally:
        await classifier.close()
    return scored


def relabelled(rows: Sequence[Row], relabels: Mapping[str, str]) -> list[Row]:
    """The rows with the labels of a re-reading; excluded ones are left out."""
    changed = [Row(row.id, row.text, relabels.get(row.id, row.label), row.source, row.lang, row.group) for row in rows]
    return [row for row in changed if row.label != "excluded"]


def write_report(out: Path, title: str, thresholds: Mapping[str, float], scored: Sequence[Scored]) -> str:
    """Write report.json and report.md into ``out`` and return the Markdown."""
    lines = measure(scored, thresholds)
    markdown = as_markdown(title, lines)
    out.mkdir(parents=True, exist_ok=True)
    report = {"title": title, "thresholds": dict(thresholds), "lines": as_json(lines)}
    (out / "report.json").write_text(json.dumps(report, indent=1) + "\n")
    (out / "report.md").write_text(markdown)
    return markdown
