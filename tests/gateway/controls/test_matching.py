from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.canary import BOTH, CANARY, CANARY_RULES, rule, rule_set

from gateway.controls import matching
from gateway.controls.matching import LiteralSet, Matcher, MatchingFailed, PatternSet, RuleError, check, live
from gateway.exchange import Direction
from gateway.terms import Rule

INPUT = frozenset({Direction.INPUT})


def names(found: list[Rule]) -> list[str]:
    """The ids of some rules."""
    return [one.id for one in found]


@settings(deadline=None)
@given(
    st.lists(st.text(st.sampled_from("ab.é"), min_size=1, max_size=4), unique=True, max_size=6),
    st.text(st.sampled_from("ab.é")),
)
def test_a_literal_set_finds_what_a_plain_search_finds(literals: list[str], text: str) -> None:
    """Literals are quoted: a dot is a dot."""
    assert LiteralSet(literals).hits(text) == [index for index, literal in enumerate(literals) if literal in text]


def test_an_engine_that_gave_up_is_no_allow() -> None:
    """When the sentinel is missing from the hits, the set says that it failed."""

    class Exhausted:
        """RE2 out of memory: it finds nothing and says nothing."""

        def Match(self, text: bytes) -> None:  # noqa: N802  the name is RE2's
            """Nothing found."""

    literals = LiteralSet(["a"])
    literals._set = Exhausted()
    with pytest.raises(MatchingFailed):
        literals.hits("a")


def test_lone_surrogates_do_not_stop_the_search() -> None:
    """Text that has no UTF-8 is searched all the same."""
    assert names(Matcher(CANARY_RULES).in_text(f"\ud800 {CANARY}")) == ["rr-canary"]
    assert Matcher(rule_set(rule(pattern="b{2}"), rule(literal="bb"))).in_text("\udfff bb") != []


def test_patterns_need_no_fixed_part() -> None:
    """The prefilter also lets through patterns without any literal in them."""
    patterns = PatternSet([r"\d{3}-\d{4}", "blue.{1,9}heron", r"\bodd\b"])
    assert patterns.span == 18
    assert patterns.hits("call 555-1234") == [0]
    assert patterns.hits("an odd blue old heron") == [1, 2]
    assert patterns.hits("oddly") == []


def test_a_window_waits_for_what_could_undo_a_match() -> None:
    """A boundary at the end of a window counts only once the next character is seen or the text has ended; context is no match."""
    patterns = PatternSet([r"\bodd\b", "x.y"])
    assert patterns.hits_within("an odd", 0, ended=False) == []
    assert patterns.hits_within("an odd", 0, ended=True) == [0]
    assert patterns.hits_within("an odd,", 0, ended=False) == [0]
    assert patterns.hits_within("xay", 0, ended=False) == [1]
    assert patterns.hits_within("xay", 1, ended=False) == []
    assert patterns.hits_within("xodd ", 1, ended=False) == []
    assert patterns.hits_within(" odd ", 1, ended=False) == [0]


def test_long_literals_match_every_view_and_short_ones_only_the_normal_form() -> None:
    """Ten letters are the border; a literal in another script stays in both."""
    matcher = Matcher(
        rule_set(rule("long", "Amber Kestrel"), rule("short", "zorb lax"), rule("greek", "καλημέρα κόσμε"))
    )
    assert names(matcher.in_text("ΑMBER-kestrel")) == ["long"]
    assert names(matcher.in_joined("a m b e r k e s t r e l")) == ["long"]
    assert names(matcher.in_text("ZORB\n LAX")) == ["short"]
    assert matcher.in_text("zorblax") == []
    assert matcher.in_joined("zorb lax") == []
    assert names(matcher.in_text("ΚΑΛΗΜΈΡΑ ΚΌΣΜΕ")) == ["greek"]
    assert names(matcher.in_joined("κ.α.λ.η.μ.έ.ρ.α.κ.ό.σ.μ.ε")) == ["greek"]


def test_patterns_match_without_regard_to_case() -> None:
    """Normal form on the one side, a case-blind engine on the other."""
    matcher = Matcher(rule_set(rule(pattern=r"Blue\W{1,3}(?:Heron|Æther)")))
    assert matcher.in_text("BLUE - HERON") != []
    assert matcher.in_text("blue ÆTHER") != []
    assert matcher.in_joined("blue heron") == []


def test_equal_literals_of_different_rules_are_all_found() -> None:
    """Two rules with one literal both count, so that the one that is in force decides."""
    old, new = rule("old", CANARY, expires=10), rule("new", CANARY.upper(), directions=INPUT)
    found = Matcher(rule_set(old, new)).in_text(CANARY)
    assert names(found) == ["old", "new"]
    assert live(found, Direction.INPUT, 9) == old
    assert live(found, Direction.INPUT, 10) == new
    assert live(found, Direction.OUTPUT, 10) is None


def test_streams_follow_output_rules_only() -> None:
    """A rule on requests does not hold back an answer."""
    assert not Matcher(rule_set(rule(literal=CANARY, directions=INPUT))).stream.any
    stream = Matcher(rule_set(rule(literal=CANARY), rule("s", "zorb"), rule("p", pattern="a.b"))).stream
    assert stream.any
    assert (stream.long is None, stream.short is None, stream.patterns is None) == (False, False, False)


@pytest.mark.parametrize(
    ("literal", "pattern", "says"),
    [
        (None, None, "exactly one"),
        ("a", "a", "exactly one"),
        ("...", None, "no letter"),
        ("", None, "no letter"),
        ("x" * 513, None, "longer than"),
        (None, "(a", "RE2"),
        (None, "a{1001}", "RE2"),
        (None, "^a", "anchors"),
        (None, "a?", "empty"),
        (None, "amber.*kestrel", "longest match"),
        (None, "(?:.{100}){6}", "longest match"),
        (None, "Straße", "never match"),
        (None, "a  b", "never match"),
    ],
)
def test_a_faulty_rule_is_named(literal: str | None, pattern: str | None, says: str) -> None:
    """What cannot be enforced as written is refused with its id and the reason, alone and as part of a set."""
    faulty = rule("rr-7", literal, pattern)
    for refuse in (check, lambda one: Matcher(rule_set(rule(literal="fine"), one))):
        with pytest.raises(RuleError, match=says) as caught:
            refuse(faulty)
        assert caught.value.rule_id == "rr-7"
        assert says in caught.value.message


def test_unbounded_patterns_are_fine_on_requests() -> None:
    """Only answers are held back, so only their rules need a bound."""
    unbounded = rule(pattern="amber.*kestrel", directions=INPUT)
    check(unbounded)
    assert Matcher(rule_set(unbounded)).in_text("amber and at last a kestrel") == [unbounded]


def test_sets_have_a_size(monkeypatch: pytest.MonkeyPatch) -> None:
    """Too many characters or patterns are refused, naming the rule that goes beyond."""
    monkeypatch.setattr(matching, "MAX_LITERALS", 10)
    monkeypatch.setattr(matching, "MAX_PATTERNS", 1)
    with pytest.raises(RuleError, match="at most") as caught:
        Matcher(rule_set(rule("a", "123456"), rule("b", "123456")))
    assert caught.value.rule_id == "b"
    with pytest.raises(RuleError, match="at most"):
        Matcher(rule_set(rule("a", pattern="a"), rule("b", pattern="b")))


def test_directions_default_to_both() -> None:
    """The helper's rules apply to requests and answers."""
    assert rule(literal="x").directions == BOTH
