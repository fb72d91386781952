from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from classifiers.evaluate.ranking import area, curve

SCORES = st.lists(st.integers(0, 20), min_size=1, max_size=30)


@given(SCORES, SCORES)
def test_area_is_the_chance_to_be_above(positives: list[int], negatives: list[int]) -> None:
    """The area equals the share of pairs in order, ties counting half, and lies in its interval."""
    found = area(positives, negatives)
    assert found is not None
    pairs = [(p > n) + (p == n) / 2 for p in positives for n in negatives]
    assert found.value == pytest.approx(sum(pairs) / len(pairs))
    assert found.low - 1e-9 <= found.value <= found.high + 1e-9


def test_no_area_of_one_side() -> None:
    """Without harmful or without harmless texts there is nothing to order."""
    assert area([], [1.0]) is None
    assert area([1.0], []) is None


@given(SCORES, SCORES)
def test_the_curve_has_the_area(positives: list[int], negatives: list[int]) -> None:
    """The trapezoids under the curve add up to the area, and it runs from nothing flagged to everything."""
    flagged, hits = curve(positives, negatives)
    steps = sum((flagged[i + 1] - flagged[i]) * (hits[i + 1] + hits[i]) / 2 for i in range(len(flagged) - 1))
    found = area(positives, negatives)
    assert found is not None
    assert steps == pytest.approx(found.value)
    assert (flagged[0], hits[0], flagged[-1], hits[-1]) == (0, 0, 1, 1)
