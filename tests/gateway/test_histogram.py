"""The histogram of the event loop counts as prometheus_client's own does."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Histogram
from prometheus_client.utils import floatToGoString

from gateway.histogram import Series

BOUNDS = (0.001, 0.01, 0.5, 1.0, 48.0)
VALUES = st.one_of(st.sampled_from(BOUNDS), st.floats(0, 100, allow_nan=False))


@given(st.lists(VALUES, max_size=30))
def test_buckets_and_sums_are_those_of_the_library(values: list[float]) -> None:
    """For any values, those that equal a bound included, every bucket and the sum are the same."""
    registry, series = CollectorRegistry(), Series(BOUNDS)
    theirs = Histogram("h", "Help.", registry=registry, buckets=BOUNDS)
    for value in values:
        series.observe(value)
        theirs.observe(value)
    buckets, total = series.totals()
    assert [bound for bound, _ in buckets] == [*BOUNDS, math.inf]
    for bound, count in buckets:
        assert registry.get_sample_value("h_bucket", {"le": floatToGoString(bound)}) == count
    assert registry.get_sample_value("h_sum") == total
