"""Medians, ratios and bars come from the rounds that were measured, and what was not measured says so."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

import pytest

from loadtests.bench import report
from loadtests.bench.bars import judged
from loadtests.bench.results import Results, Spread


def results(**rounds: list[float]) -> Results:
    """Requests a second at 64 connections of some contestants."""
    found = Results({"commit": "none", "time": "never"}, {}, [])
    for who, values in rounds.items():
        for number, value in enumerate(values):
            found.add(who.replace("_", "-"), "many", number, {"requests_per_s": value})
    return found


def test_ratios_pair_the_rounds() -> None:
    """A slow minute met both contestants: rounds of 100 to 10 and 50 to 2 are ratios of 10 and 25, not of one median to the other."""
    found = results(a=[100, 50, 90], b=[10, 2, 9])
    assert found.against("a", "b", "many", "requests_per_s") == Spread(10, 10, 25)
    assert found.against("a", "b", "many", "requests_per_s", minus=True) == Spread(81, 48, 90)
    found.figures["b"]["many"]["requests_per_s"].pop(1)  # a round that failed
    assert found.against("a", "b", "many", "requests_per_s") == Spread(10, 10, 10)
    assert found.against("a", "c", "many", "requests_per_s") is None


@pytest.mark.parametrize(("ours", "result"), [([149, 150, 151], "pass"), ([149, 149.9, 160], "FAIL")])
def test_a_bar_is_held_by_the_median(ours: list[float], result: str) -> None:
    """Fifteen times LiteLLM's requests a second pass, and anything less does not."""
    bar = judged(results(asl3_plain=ours, litellm=[10, 10, 10]))[0]
    assert bar.result == result


def test_figures_keep_two_digits_or_more() -> None:
    """Large figures have their thousands apart, small ones keep two digits, and a spread is shown where rounds differ."""
    values = (123_456.7, 12.34, 1.234, 0.01234, 0.0)
    assert [report.shown(Spread(value, value, value)) for value in values] == ["123,457", "12.3", "1.23", "0.012", "0"]
    assert report.shown(Spread(2000, 1000, 3000), 1e3) == "2.00 (1.00 to 3.00)"


def test_the_disk_is_measured(tmp_path: Path) -> None:
    """What a row takes to be durable is a figure of the machine."""
    assert report.sync_ms(tmp_path) > 0


def test_what_was_not_measured_is_no_pass() -> None:
    """Without a figure a bar is neither passed nor failed, and the report says that it was not measured."""
    found = results()
    assert {bar.result for bar in judged(found)} == {"–"}
    assert report.markdown(found).count("not measured") == len(judged(found))


def test_faults_are_in_the_report() -> None:
    """A contestant that could not be measured is named with the reason."""
    found = results(direct=[1.0])
    found.faults.append("nginx: it did not start")
    assert "- nginx: it did not start" in report.markdown(found)


def test_the_picture_leaves_out_what_costs_nothing(tmp_path: Path) -> None:
    """Rounds are read from the written report; a contestant without a figure, or with zeros, has no bar."""
    found = results(direct=[3.0, 1.0])
    found.add("direct", "chunks", 0, {"cpu_per_chunk_us": 0.0})
    report.write(found, tmp_path / "bench")
    written = json.loads((tmp_path / "bench.json").read_text())
    values = _plot().values
    assert values(written, "many", "requests_per_s", 1.0) == [("no proxy", [3.0, 1.0])]
    assert values(written, "chunks", "cpu_per_chunk_us", 1.0) == []


def _plot() -> Any:
    """The script as its own program loads it: by path."""
    spec = importlib.util.spec_from_file_location("plot", report.HERE / "plot.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
