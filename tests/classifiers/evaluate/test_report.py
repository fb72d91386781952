from __future__ import annotations

import pytest
from support.fake_classifier import FAKE_CARD

from classifiers.evaluate.figures import Scored
from classifiers.evaluate.report import Texts, build

TEXTS = Texts(
    "cbrn",
    (
        *(Scored("benign", "chat", "en", {"cbrn": i / 1000, "other_harm": 0.0}) for i in range(200)),
        Scored("cbrn_adjacent_benign", "near", "fr", {"cbrn": 0.85, "other_harm": 0.0}, field="nuclear", named=True),
        Scored("cbrn_adjacent_benign", "near", "en", {"cbrn": 0.1, "other_harm": 0.0}, field="nuclear"),
        Scored("cbrn_harmful", "red", "en", {"cbrn": 0.9, "other_harm": 0.0}, attack="leet", named=True),
        Scored("cbrn_harmful", "red", "fr", {"cbrn": 0.198, "other_harm": 0.0}, field="nuclear"),
        Scored("cbrn_harmful", "red", "fr", {"cbrn": 0.05, "other_harm": 0.0}, named=True),
        Scored("other_harmful", "red", "en", {"cbrn": 0.9, "other_harm": 0.9}),
    ),
)


def test_recall_at_flag_rates() -> None:
    """Thresholds come from ordinary text; recall is told apart for what a lexicon misses."""
    points = {point["share"]: point for point in build(FAKE_CARD, TEXTS, "t")["points"]}
    assert (points[0.01]["flagged"]["hits"], points[0.001]["flagged"]["hits"]) == (2, 0)
    assert (points[0.01]["recall"]["hits"], points[0.01]["recall"]["total"]) == (2, 3)
    assert (points[0.01]["recall_lexicon_misses"]["hits"], points[0.01]["recall_lexicon_misses"]["total"]) == (1, 1)
    assert points[0.001]["recall"]["hits"] == 1
    assert points[0.01]["near_miss"]["hits"] == 1


def test_union_and_facets() -> None:
    """What either would block is more than what each does; every facet value has its own line, harmful and harmless apart."""
    report = build(FAKE_CARD, TEXTS, "t")
    union = {one["label"]: one for one in report["union"]}
    harmful = union["cbrn_harmful"]
    assert [harmful[name]["hits"] for name in ("classifier", "lexicon", "either")] == [1, 2, 2]
    facets = {(one["kind"], one["facet"], one["value"]): one["hits"] for one in report["facets"]}
    assert facets["harmful", "attack", "leet"] == 1
    assert facets["harmful", "lang", "fr"] == 0
    assert facets["harmless", "field", "nuclear"] == 1


def test_areas_and_calibration() -> None:
    """Areas stand against ordinary and near-miss text, beside the lexicon's; the steps count every labelled text once."""
    report = build(FAKE_CARD, TEXTS, "t")
    areas = {(one["facet"], one["value"], one["against"]): one["auroc"] for one in report["auroc"]}
    assert areas["attack", "leet", "ordinary"] == 1.0
    assert areas["lexicon alone", "all", "near-miss"] == pytest.approx(0.5833, abs=1e-4)
    assert sum(step["count"] for step in report["calibration"]["steps"]) == 205
    assert 0.0 < report["calibration"]["error"] < 1.0


def test_one_sided_data() -> None:
    """Harmful or harmless texts alone make a report without areas, and nothing fails."""
    for label in ("benign", "cbrn_harmful"):
        texts = Texts("cbrn", tuple(one for one in TEXTS.all if one.label == label))
        assert build(FAKE_CARD, texts, "t")["auroc"] == []
