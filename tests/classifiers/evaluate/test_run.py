from __future__ import annotations

import json
from pathlib import Path

import pytest
from support.fake_classifier import FakeClassifier

from classifiers.base import ClassifierUnavailable
from classifiers.evaluate.run import BATCH, relabelled, score_rows, write_report
from classifiers.rows import Row


async def test_scores_rows_in_order_and_closes() -> None:
    """Each row gets its own highest score per category, over more than one batch; the classifier is closed afterwards."""
    classifier = FakeClassifier()
    rows = [Row(str(i), "amber kestrel protocol" if i % 5 == 0 else "poem", "x", "s") for i in range(2 * BATCH + 1)]
    scored = await score_rows(classifier, rows)
    assert [one.scores["cbrn"] > 0.5 for one in scored] == [i % 5 == 0 for i in range(2 * BATCH + 1)]
    with pytest.raises(ClassifierUnavailable):
        await classifier.score(["a"], budget=1, seconds=1)


def test_relabelled() -> None:
    """Re-read rows carry their new label; excluded ones are gone."""
    rows = [Row("1", "a", "cbrn_harmful", "s"), Row("2", "b", "cbrn_harmful", "s"), Row("3", "c", "benign", "s")]
    assert [(row.id, row.label) for row in relabelled(rows, {"1": "excluded", "2": "other_harmful"})] == [
        ("2", "other_harmful"),
        ("3", "benign"),
    ]


async def test_writes_both_reports(tmp_path: Path) -> None:
    """Markdown is returned and written, JSON beside it."""
    scored = await score_rows(FakeClassifier(), [Row("1", "poem", "benign", "s")])
    markdown = write_report(tmp_path / "out", "title", {"cbrn.block": 0.5}, scored)
    assert (tmp_path / "out" / "report.md").read_text() == markdown
    assert json.loads((tmp_path / "out" / "report.json").read_text())["thresholds"] == {"cbrn.block": 0.5}
