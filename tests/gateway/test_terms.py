"""Levels as pairs of standards, the orders of strictness, and groups that cannot be empty."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.exchange import Direction
from gateway.terms import Group, Hold, Level, OnFailure, Standard, Standing, Terms

LEVELS = st.builds(Level, st.integers(1, 5), st.integers(1, 5))


def terms(*thresholds: tuple[str, int]) -> Terms:
    """Terms with these thresholds."""
    return Terms(
        model="m",
        level=Level.both(3),
        standing=Standing.SERVING,
        groups=frozenset(),
        rule_sets=frozenset(),
        thresholds=frozenset(thresholds),
        refused=frozenset(),
        shadow=frozenset(),
        hold=Hold.ADAPTIVE,
        screen_budget=1,
        snapshots=frozenset(),
        revision=0,
    )


@given(LEVELS, LEVELS, LEVELS)
def test_the_join_of_levels_is_the_stricter_in_each_standard(one: Level, two: Level, three: Level) -> None:
    """Joining is commutative, associative, idempotent, and covers both sides with nothing to spare."""
    joined = one.join(two)
    assert joined == two.join(one)
    assert one.join(two.join(three)) == joined.join(three)
    assert one.join(one) == one
    assert joined.covers(one)
    assert joined.covers(two)
    assert joined.deployment in {one.deployment, two.deployment}
    assert joined.security in {one.security, two.security}


@given(LEVELS, LEVELS)
def test_covering_means_at_least_as_strict_in_both_standards(one: Level, two: Level) -> None:
    """A level that is stricter in one standard and looser in the other does not cover."""
    assert one.covers(two) == (one.deployment >= two.deployment and one.security >= two.security)


@pytest.mark.parametrize("value", [0, 6, -1])
def test_a_standard_is_one_to_five(value: int) -> None:
    """There is no level outside of 1 to 5, in either standard."""
    with pytest.raises(ValueError, match="1 to 5"):
        Level(value, 3)
    with pytest.raises(ValueError, match="1 to 5"):
        Level(3, value)


def test_levels_in_words() -> None:
    """``asl-N`` where both standards are the same; both where they differ."""
    assert str(Level.both(3)) == "asl-3"
    assert str(Level(3, 4)) == "asl-3/security-4"


def test_the_larger_is_the_stricter() -> None:
    """The orders of standing, hold and failure run from loose to strict, so that ``max`` joins them."""
    assert list(Standing) == sorted(Standing) == [Standing.SERVING, Standing.NOT_ASSESSED, Standing.HALTED]
    assert max(Hold) is Hold.WHOLE
    assert max(OnFailure) is OnFailure.REFUSE


def test_a_group_without_members_is_an_error() -> None:
    """An empty list of checks cannot be written down; a group refuses on failure unless it says otherwise."""
    with pytest.raises(ValueError, match="empty list of checks"):
        Group("g", Standard.DEPLOYMENT, Direction.INPUT, ())
    assert Group("g", Standard.DEPLOYMENT, Direction.INPUT, ("rules",)).on_failure is OnFailure.REFUSE


def test_the_smallest_threshold_of_a_control_counts() -> None:
    """Joined terms may hold several thresholds of one control: the strictest is in force, the default only without any."""
    found = terms(("a", 700), ("a", 300), ("b", 100))
    assert found.threshold("a", 900) == 300
    assert found.threshold("c", 900) == 900


def test_terms_cannot_be_edited() -> None:
    """Terms cross rooms: they are joined, never changed."""
    with pytest.raises(dataclasses.FrozenInstanceError):
        terms().screen_budget = 10  # type: ignore[misc]  # the point of the test
