"""The join of terms: its laws, and that it is never looser than either side."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import Phase, find, given, settings
from hypothesis import strategies as st
from hypothesis.errors import NoSuchExample
from support.policy_values import GROUPS, TERMS, snapshot

from gateway.exchange import Direction, Feature
from gateway.policy.join import acting, join, join_groups, looser
from gateway.terms import Group, Hold, Level, OnFailure, RuleSet, Standard, Standing, Terms

PAIRS = st.tuples(TERMS, TERMS)
# That there is an example is enough; the smallest one is not looked for.
SEARCH = settings(max_examples=200, phases=[Phase.generate], derandomize=True, database=None)
RULES = Group("a", Standard.DEPLOYMENT, Direction.INPUT, ("rules",))
BASE = Terms(
    model="m",
    level=Level.both(2),
    standing=Standing.SERVING,
    groups=frozenset({RULES}),
    rule_sets=frozenset({RuleSet("a", ())}),
    thresholds=frozenset({("rules", 500)}),
    refused=frozenset({Feature.MEDIA}),
    shadow=frozenset(),
    hold=Hold.WHOLE,
    screen_budget=100,
    snapshots=frozenset({"a"}),
    revision=1,
)
# One change that loosens, for every respect in which terms can be loose.
LOOSER = {
    "level": replace(BASE, level=Level(1, 2)),
    "security": replace(BASE, level=Level(2, 1)),
    "no group": replace(BASE, groups=frozenset()),
    "failing open": replace(BASE, groups=frozenset({replace(RULES, on_failure=OnFailure.PASS)})),
    "more time": replace(BASE, groups=frozenset({replace(RULES, deadline_ms=9000)})),
    "other members": replace(BASE, groups=frozenset({replace(RULES, members=("lexicon",))})),
    "rules": replace(BASE, rule_sets=frozenset({RuleSet("b", ())})),
    "threshold": replace(BASE, thresholds=frozenset({("rules", 501)})),
    "no threshold": replace(BASE, thresholds=frozenset()),
    "refused": replace(BASE, refused=frozenset()),
    "shadow": replace(BASE, shadow=frozenset({"rules"})),
    "hold": replace(BASE, hold=Hold.ADAPTIVE),
    "budget": replace(BASE, screen_budget=101),
}


@given(PAIRS)
def test_commutative(pair: tuple[Terms, Terms]) -> None:
    """The order of the two sides does not matter."""
    assert join(*pair) == join(*reversed(pair))


@given(TERMS)
def test_idempotent(terms: Terms) -> None:
    """Joining terms with themselves changes nothing."""
    assert join(terms, terms) == terms


@given(TERMS, TERMS, TERMS)
def test_associative(one: Terms, two: Terms, three: Terms) -> None:
    """Nor does it matter which two are joined first."""
    assert join(join(one, two), three) == join(one, join(two, three))


@given(PAIRS)
def test_never_looser_than_either(pair: tuple[Terms, Terms]) -> None:
    """Whatever one side demands, the join demands."""
    joined = join(*pair)
    assert not looser(joined, pair[0])
    assert not looser(joined, pair[1])


@given(PAIRS)
def test_joining_again_changes_nothing(pair: tuple[Terms, Terms]) -> None:
    """The join absorbs its sides: an exchange that sees the same snapshot twice is judged the same."""
    joined = join(*pair)
    assert join(joined, pair[0]) == joined


@given(PAIRS)
def test_nothing_acts_that_acts_on_neither_side(pair: tuple[Terms, Terms]) -> None:
    """What both sides have in shadow or do not know does not begin to block."""
    joined = join(*pair)
    assert acting(joined) == acting(pair[0]) | acting(pair[1])


@given(TERMS)
def test_nothing_is_looser_than_itself(terms: Terms) -> None:
    """The oracle is not trigger-happy."""
    assert not looser(terms, terms)


@pytest.mark.parametrize("name", LOOSER)
def test_the_oracle_sees_every_kind_of_loosening(name: str) -> None:
    """Each single loosening is seen, and the join takes it back."""
    assert looser(LOOSER[name], BASE)
    assert not looser(join(LOOSER[name], BASE), BASE)


def test_standing_still_is_looser_than_halted() -> None:
    """Serving is looser than not assessed, and that than halted."""
    for below, above in ((Standing.SERVING, Standing.NOT_ASSESSED), (Standing.NOT_ASSESSED, Standing.HALTED)):
        assert looser(replace(BASE, standing=below), replace(BASE, standing=above))


def _broken(field: str, one: Terms, other: Terms) -> Terms:
    """A join that forgets one field: it takes it from the first side."""
    return replace(join(one, other), **{field: getattr(one, field)})


@pytest.mark.parametrize(
    "field",
    ["level", "standing", "groups", "rule_sets", "thresholds", "refused", "shadow", "hold", "screen_budget"],
)
def test_a_broken_join_is_found(field: str) -> None:
    """A join that forgets any one field fails the property, so the property can fail."""
    assert find(PAIRS, lambda pair: looser(_broken(field, *pair), pair[1]), settings=SEARCH)


def test_the_right_join_is_not_found_wanting() -> None:
    """The same search against the real join finds nothing."""
    with pytest.raises(NoSuchExample):
        find(PAIRS, lambda pair: looser(join(*pair), pair[1]), settings=SEARCH)


def test_terms_of_different_models_do_not_join() -> None:
    """Mixing them up is a fault of ours, never a policy."""
    with pytest.raises(ValueError, match="do not join"):
        join(BASE, replace(BASE, model="n"))


@given(st.lists(GROUPS, max_size=6))
def test_groups_of_one_duty_become_one(groups: list[Group]) -> None:
    """Every duty stays once, as strict as the strictest of its groups."""
    joined = join_groups(groups)
    assert {(g.name, g.standard, g.direction, g.members) for g in groups} == {
        (g.name, g.standard, g.direction, g.members) for g in joined
    }
    assert len(joined) == len({(g.name, g.standard, g.direction, g.members) for g in joined})


def test_a_raise_to_asl_2_does_not_block_what_neither_level_blocks() -> None:
    """Basic harm screening stays in shadow for exchanges that began at ASL-1."""
    began, newest = (snapshot(asl).entries["m"].terms for asl in (1, 2))
    joined = join(began, newest)
    assert "harm_screen" in joined.shadow
    assert "harm_screen" not in acting(joined)


@pytest.mark.parametrize("asl", [2, 3, 4, 5])
def test_each_level_is_at_least_as_strict_as_the_one_below(asl: int) -> None:
    """The profiles that ship are cumulative as terms too."""
    below, above = (snapshot(level).entries["m"].terms for level in (asl - 1, asl))
    assert not looser(above, below)
    assert looser(below, above)
