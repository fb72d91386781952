from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from classifiers.evaluate.intervals import at_most, rate


@pytest.mark.parametrize(
    ("hits", "total", "low", "high"),
    [
        (0, 100, 0.0, 0.03622),
        (5, 100, 0.01643, 0.11283),
        (100, 100, 0.96378, 1.0),
        (1, 1, 0.025, 1.0),
        (0, 0, 0.0, 1.0),
    ],
)
def test_known_intervals(hits: int, total: int, low: float, high: float) -> None:
    """Published Clopper-Pearson intervals."""
    found = rate(hits, total)
    assert (found.low, found.high) == (pytest.approx(low, abs=1e-5), pytest.approx(high, abs=1e-5))


@given(st.integers(0, 300), st.integers(0, 300))
def test_interval_holds_the_rate(one: int, other: int) -> None:
    """The observed share lies within its interval, and the text form shows it."""
    hits, total = min(one, other), max(one, other)
    found = rate(hits, total)
    assert 0.0 <= found.low <= found.value <= found.high <= 1.0
    assert str(found).startswith(f"{hits}/{total} = ")


def test_at_most_at_the_ends() -> None:
    """Certain and impossible trials."""
    assert (at_most(0, 5, 0.0), at_most(4, 5, 1.0), at_most(5, 5, 1.0)) == (1.0, 0.0, 1.0)


def test_more_hits_than_trials() -> None:
    """Counting errors do not become figures."""
    with pytest.raises(ValueError, match="3 of 2"):
        rate(3, 2)
