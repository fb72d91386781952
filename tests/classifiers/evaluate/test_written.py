from __future__ import annotations

import json
from pathlib import Path

import pytest
from support.fake_classifier import FAKE_CARD

from classifiers.evaluate.figures import Scored
from classifiers.evaluate.report import Texts, build
from classifiers.evaluate.written import as_markdown, compared, read, write
from classifiers.rows import DataError


def _report(score: float, lang: str) -> dict[str, object]:
    texts = (
        Scored("benign", "chat", "en", {"cbrn": 0.1, "other_harm": 0.0}),
        Scored("cbrn_harmful", "red", lang, {"cbrn": score, "other_harm": 0.0}),
    )
    return build(FAKE_CARD, Texts("cbrn", texts), "title")


def test_both_forms_are_written_and_read_back(tmp_path: Path) -> None:
    """Markdown is returned and written, JSON beside it reads back as the same report."""
    report = _report(0.9, "en")
    assert write(tmp_path / "out", report) == (tmp_path / "out" / "report.md").read_text() == as_markdown(report)
    assert read(tmp_path / "out" / "report.json") == json.loads(json.dumps(report))
    assert "| cbrn_harmful | 1/1 = 100.00% [2.50%, 100.00%] |" in as_markdown(report)


def test_two_reports_side_by_side() -> None:
    """Each figure has both values; one that only one report has leaves a gap."""
    rows = compared(_report(0.9, "en"), _report(0.1, "fr")).splitlines()
    assert "| cbrn_harmful: classifier | 1/1 = 100.00% [2.50%, 100.00%] | 0/1 = 0.00% [0.00%, 97.50%] |" in rows
    assert any(row.startswith("| harmful, lang fr |  | 0/1") for row in rows)


@pytest.mark.parametrize("content", ["", "[]", '{"points": []}'])
def test_what_is_no_report(tmp_path: Path, content: str) -> None:
    """A file that is no report is refused by name."""
    (tmp_path / "r.json").write_text(content)
    with pytest.raises(DataError, match=r"r\.json: not a report"):
        read(tmp_path / "r.json")
