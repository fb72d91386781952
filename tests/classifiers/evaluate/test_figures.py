from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from classifiers.evaluate.figures import Scored, as_json, as_markdown, measure, threshold_for

TEXTS = [
    Scored("benign", "one", "en", {"cbrn": 0.1}),
    Scored("benign", "one", "en", {"cbrn": 0.9}),
    Scored("benign", "two", "fr", {"cbrn": 0.2}),
    Scored("cbrn", "one", "en", {"cbrn": 0.9}),
]


def test_measures_per_label_source_and_language() -> None:
    """Every group has a line per threshold, and each label one over all of it."""
    lines = {
        (line.threshold, line.label, line.source, line.lang): line.rate
        for line in measure(TEXTS, {"cbrn.block": 0.9, "cbrn.near": 0.2})
    }
    assert len(lines) == 2 * 5
    assert (lines["cbrn.block", "benign", "all", "all"].hits, lines["cbrn.block", "benign", "all", "all"].total) == (
        1,
        3,
    )
    assert lines["cbrn.near", "benign", "two", "fr"].value == 1.0
    assert lines["cbrn.near", "cbrn", "one", "en"].value == 1.0


def test_reports() -> None:
    """Both forms carry counts and interval."""
    lines = measure(TEXTS, {"cbrn.block": 0.9})
    first = as_json(lines)[0]
    assert (first["hits"], first["total"], first["rate"]) == (1, 3, 0.33333)
    assert "| cbrn.block | benign | all | all | 1/3 = 33.33% | 0.84% to 90.57% |" in as_markdown("title", lines)


@given(st.lists(st.floats(0, 0.999), max_size=60), st.floats(0, 1))
def test_threshold_keeps_the_share(scores: list[float], share: float) -> None:
    """No more than the wanted share of the scores is at or above the threshold."""
    threshold = threshold_for(scores, share)
    assert sum(score >= threshold for score in scores) <= share * len(scores)


def test_threshold_is_the_smallest() -> None:
    """It stands just above the highest score that must stay below."""
    assert threshold_for([0.1, 0.5, 0.7, 0.9], 0.25) == pytest.approx(0.7001)
