"""The evidence report counts what it says it counts."""

from __future__ import annotations

import importlib
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PROPERTY = """
from hypothesis import given, settings, strategies as st

@settings(max_examples=30, database=None)
@given(st.integers())
def test_one(number):
    assert number == number
"""


def test_property_cases_are_counted_as_hypothesis_reports_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The cases of a property test with 30 examples are read as 30 from what the installed hypothesis prints."""
    monkeypatch.syspath_prepend(str(ROOT))
    counted = importlib.import_module("loadtests.properties").counted
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "test_it.py").write_text(PROPERTY)
    given = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--hypothesis-show-statistics", "tests"]
    said = subprocess.run(given, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=True).stdout
    (found,) = counted(said)
    assert (found.file, found.properties, found.passing, found.failing) == ("tests/test_it.py", 1, 30, 0)


def test_tables_are_markdown(monkeypatch: pytest.MonkeyPatch) -> None:
    """A table has its heads, its rule and one line for each row."""
    monkeypatch.syspath_prepend(str(ROOT))
    table = importlib.import_module("loadtests.evidence").table
    assert table(("way", "p50"), [("direct", 1)]) == "| way | p50 |\n| --- | --- |\n| direct | 1 |"
