"""The join of terms: commutative, associative, idempotent, never looser; and a broken one is found out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.exchange import Direction, Feature
from gateway.policy.join import join, looser
from gateway.terms import Group, Hold, Level, OnFailure, RuleSet, Standard, Standing, Terms

NAMES = st.sampled_from(["rules", "cbrn", "harm"])
GROUPS = st.builds(
    Group,
    NAMES,
    st.sampled_from(Standard),
    st.sampled_from(Direction),
    st.sampled_from([("a",), ("a", "b"), ("b",)]),
    st.sampled_from(OnFailure),
    st.integers(1, 3),
)
LEVELS = st.builds(Level, st.integers(1, 5), st.integers(1, 5))
TERMS = st.builds(
    Terms,
    model=st.just("m"),
    level=LEVELS,
    standing=st.sampled_from(Standing),
    groups=st.frozensets(GROUPS, max_size=4),
    rule_sets=st.frozensets(st.builds(RuleSet, st.sampled_from("xyz"), st.just(())), max_size=3),
    thresholds=st.frozensets(st.tuples(st.sampled_from("ab"), st.integers(1, 1000)), max_size=3),
    refused=st.frozensets(st.sampled_from(Feature)),
    shadow=st.frozensets(st.sampled_from("abc")),
    hold=st.sampled_from(Hold),
    screen_budget=st.integers(1, 9),
    snapshots=st.frozensets(st.sampled_from("st")),
    revision=st.integers(0, 9),
)
Join = Callable[[Terms, Terms], Terms]


def normal(terms: Terms) -> Terms:
    """Terms as a join leaves them: one group per duty, one threshold per control."""
    return join(terms, terms)


@settings(max_examples=200, deadline=None)
@given(TERMS, TERMS, TERMS)
def test_join_is_commutative_associative_and_idempotent(one: Terms, two: Terms, three: Terms) -> None:
    """The order in which policies come does not matter, and the same policy twice changes nothing."""
    assert join(one, two) == join(two, one)
    assert join(join(one, two), three) == join(one, join(two, three))
    assert normal(normal(one)) == normal(one)


def never_looser(joined: Join) -> None:
    """The claim of the next test, for any join."""

    @settings(max_examples=200, database=None, deadline=None, report_multiple_bugs=False)
    @given(TERMS, TERMS)
    def claim(one: Terms, two: Terms) -> None:
        both = joined(one, two)
        assert not looser(both, normal(one))
        assert not looser(both, normal(two))

    claim()


def test_join_is_never_looser_than_either_side() -> None:
    """No exchange is judged under less than it began with or than is in force."""
    never_looser(join)


def shadows_united(one: Terms, two: Terms) -> Terms:
    """Broken: a control that acts on one side is in shadow."""
    return replace(join(one, two), shadow=one.shadow | two.shadow)


def newest_level(one: Terms, two: Terms) -> Terms:
    """Broken: the newer level wins, even when it is lower."""
    return replace(join(one, two), level=two.level)


def groups_lost(one: Terms, two: Terms) -> Terms:
    """Broken: only the newer groups are required."""
    return replace(join(one, two), groups=two.groups)


@pytest.mark.parametrize("broken", [shadows_united, newest_level, groups_lost])
def test_a_broken_join_is_found(broken: Join) -> None:
    """The property fails for joins that loosen something."""
    with pytest.raises(AssertionError):
        never_looser(broken)


@settings(max_examples=20, deadline=None)
@given(TERMS)
def test_terms_of_different_models_do_not_join(terms: Terms) -> None:
    """A join over models would be nobody's policy."""
    with pytest.raises(ValueError, match="do not join"):
        join(terms, replace(terms, model="other"))
