"""Metrics: the published list, closed label sets, and families that keep nothing of an older policy."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from prometheus_client import Counter, Gauge, Histogram
from prometheus_client.parser import text_string_to_metric_families

from gateway.metrics import PREFIX, SPECS, Metrics, Result, metrics, word
from gateway.verdict import Cause, Outcome, Reason, Verdict, allow, failed

CONTRACT = (Path(__file__).parents[2] / "docs" / "contract.md").read_text()
KINDS = {Counter: "counter", Gauge: "gauge", Histogram: "histogram"}


@pytest.fixture
def fresh() -> Metrics:
    """Metrics that have counted nothing."""
    return metrics()


def value(found: Metrics, name: str, **labels: str) -> float | None:
    """One sample, by its name without the prefix."""
    return found.registry.get_sample_value(PREFIX + name, labels)


def test_the_list_is_the_contract() -> None:
    """Names, types and labels are those that docs/contract.md publishes, in its order."""
    rows = re.findall(r"^\| `([a-z_]+)` \| (counter|gauge|histogram) \| ([a-z_, ]*)\|$", CONTRACT, re.MULTILINE)
    published = [
        (name, kind, tuple(labels.strip().split(", ")) if labels.strip() else ()) for name, kind, labels in rows
    ]
    assert [(spec.name, KINDS[spec.kind], spec.labels) for spec in SPECS] == published


def test_outcomes_are_the_contract() -> None:
    """The closed set of outcomes is the one that docs/contract.md publishes."""
    table = CONTRACT.split("### `outcome` values")[1].split("\n## ")[0]
    assert [result.value for result in Result] == re.findall(r"^\| `([a-z_]+)` \|", table, re.MULTILINE)


def test_every_metric_says_what_it_is() -> None:
    """Each has a help text that ends like a sentence, and its name appears once."""
    assert all(spec.help.endswith(".") for spec in SPECS)
    assert len({spec.name for spec in SPECS}) == len(SPECS)


def test_counters_add_up(fresh: Metrics) -> None:
    """Counts of the same labels add up, others stay apart."""
    fresh.count("refusals_total", "unknown_route")
    fresh.count("refusals_total", "unknown_route", by=3)
    fresh.count("refusals_total", "chunk_extension")
    assert value(fresh, "refusals_total", reason="unknown_route") == 4
    assert value(fresh, "refusals_total", reason="chunk_extension") == 1


def test_what_must_stay_zero_is_there_from_the_start(fresh: Metrics) -> None:
    """A counter without labels shows zero before anything happens, so that an alert on it can work."""
    assert value(fresh, "released_after_flag_total") == 0


def test_histograms_have_their_buckets(fresh: Metrics) -> None:
    """Values are counted in the buckets of their metric: seconds, or tokens for the hold-back."""
    fresh.observe("control_seconds", 0.003, "rules", "input")
    fresh.observe("holdback_tokens", 48)
    assert value(fresh, "control_seconds_bucket", control="rules", direction="input", le="0.002") == 0
    assert value(fresh, "control_seconds_bucket", control="rules", direction="input", le="0.005") == 1
    assert value(fresh, "holdback_tokens_bucket", le="32.0") == 0
    assert value(fresh, "holdback_tokens_bucket", le="48.0") == 1


def test_gauges_keep_the_last_value(fresh: Metrics) -> None:
    """Setting again replaces, with labels and without."""
    fresh.set("in_flight", 3)
    fresh.set("in_flight", 2)
    fresh.set("substitute_active", 1, "cbrn_input")
    assert value(fresh, "in_flight") == 2
    assert value(fresh, "substitute_active", group="cbrn_input") == 1


def test_a_replaced_family_keeps_nothing_of_the_old_policy(fresh: Metrics) -> None:
    """After a replacement exactly the new rows are there; other families are untouched."""
    fresh.set("brakes", 1, "m")
    fresh.replace("active_level", [(("m", "deployment", "3"), 1), (("m", "security", "3"), 1)])
    fresh.replace("active_level", [(("m", "deployment", "5"), 1), (("m", "security", "3"), 2)])
    assert value(fresh, "active_level", model="m", standard="deployment", asl="3") is None
    assert value(fresh, "active_level", model="m", standard="deployment", asl="5") == 1
    assert value(fresh, "active_level", model="m", standard="security", asl="3") == 2
    assert value(fresh, "brakes", model="m") == 1
    fresh.replace("active_level", [])
    assert b"active_level{" not in fresh.render()


def test_a_scrape_while_a_family_is_replaced_misses_nothing(fresh: Metrics, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before an old series goes, the new ones are there: no scrape sees a model without a level."""
    fresh.replace("active_level", [(("m", "deployment", "3"), 1)])
    seen: list[bytes] = []
    gauge = fresh.metrics["active_level"]
    remove = gauge.remove

    def watched(*labels: str) -> None:
        seen.append(fresh.render())
        remove(*labels)

    monkeypatch.setattr(gauge, "remove", watched)
    fresh.replace("active_level", [(("m", "deployment", "5"), 1)])
    assert len(seen) == 1
    assert b'asl="5"' in seen[0]


@pytest.mark.parametrize(
    ("verdict", "expected"),
    [
        (allow("rules"), "allow"),
        (failed("rules", Reason.CONTROL_RAISED), "could_not_evaluate"),
        (Verdict(Outcome.COULD_NOT_EVALUATE, "rules", Reason.UNREADABLE, Cause.INPUT), "could_not_evaluate"),
        (Verdict(Outcome.BLOCK, "rules", Reason.RULE_MATCHED, category="cbrn"), "block"),
    ],
)
def test_a_verdict_is_counted_in_words(fresh: Metrics, verdict: Verdict, expected: str) -> None:
    """The three verdicts are counted under their words, with control, direction and category."""
    fresh.decide(verdict, "m", "3", "input")
    labels = {"model": "m", "asl": "3", "control": "rules", "direction": "input", "category": verdict.category}
    assert value(fresh, "decisions_total", verdict=expected, **labels) == 1
    assert word(verdict.outcome) == expected


def test_the_exposition_parses_and_carries_the_prefix(fresh: Metrics) -> None:
    """Prometheus' own parser reads it, and everything in it is ours."""
    fresh.count("requests_total", "m", "3", "openai.chat", Result.SERVED.value)
    families = list(text_string_to_metric_families(fresh.render().decode()))
    assert families
    assert all(family.name.startswith(PREFIX) for family in families)
    line = 'asl_gateway_requests_total{asl="3",dialect="openai.chat",model="m",outcome="served"} 1.0'
    assert line.encode() in fresh.render()


def test_two_gateways_share_nothing() -> None:
    """Each set of metrics has a registry of its own."""
    one, other = metrics(), metrics()
    one.set("in_flight", 5)
    assert value(other, "in_flight") == 0


@pytest.mark.parametrize("wrong", [(), ("a", "b")])
def test_a_wrong_number_of_labels_is_a_fault_of_ours(fresh: Metrics, wrong: tuple[str, ...]) -> None:
    """Labels cannot be forgotten or invented."""
    with pytest.raises((ValueError, AssertionError)):
        fresh.count("refusals_total", *wrong)


def test_a_metric_is_used_as_what_it_is(fresh: Metrics) -> None:
    """Counting a gauge, or setting a counter, is a fault of ours."""
    with pytest.raises(AssertionError):
        fresh.count("substitute_active", "g")
    with pytest.raises(AssertionError):
        fresh.set("refusals_total", 1, "r")
    with pytest.raises(AssertionError):
        fresh.observe("refusals_total", 1, "r")
    with pytest.raises(AssertionError):
        fresh.replace("refusals_total", [])
