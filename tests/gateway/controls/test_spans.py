from __future__ import annotations

import contextlib
import re

import pytest
import re2
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.controls.spans import PatternNotSupported, longest_span


@pytest.mark.parametrize(
    ("pattern", "span"),
    [
        ("abc", 3),
        ("a|bcd|ef", 3),
        ("(?:ab){2,5}c?", 11),
        ("(?P<name>ab|c)+?", None),
        ("a*", None),
        ("a{3,}", None),
        ("a{4}", 4),
        ("a{0}b", 1),
        ("(){2,}b", 1),
        (r"\bword\b", 6),
        (r"[^]a\]-z]{1,3}\d\W", 5),
        (r"[[]x[\]]", 3),
        (r"\pL\p{Greek}\x41\x{1F600}\.", 5),
        ("(?i)ab(?s:.)(?-i:x)", 4),
        ("a{,5}", 5),
        ("a{x}", 4),
        ("(?i:a{2}?)|b", 2),
        ("(?:a{2}){3}", 6),
        (r"[\d\-x]", 1),
        ("x*{0}a", 1),
    ],
)
def test_spans(pattern: str, span: int | None) -> None:
    """The width is the greatest over all alternatives, and None without a bound."""
    assert longest_span(pattern) == span


@pytest.mark.parametrize(
    "pattern", ["^a", "a$", r"\Aa", r"a\z", r"a\nb", r"\Qa\E", r"\C", "[[:alpha:]]", r"\141", "(a", "a)"]
)
def test_what_is_not_understood_is_refused(pattern: str) -> None:
    """Anchors, line breaks, bytes, quoting, classes by name, octal escapes and open brackets are never guessed at."""
    with pytest.raises(PatternNotSupported):
        longest_span(pattern)


ATOMS = st.sampled_from(["a", ".", r"\w", "[ab]", "[^a-c]", r"\.", r"\b"])
PATTERNS = st.recursive(
    ATOMS,
    lambda inner: st.one_of(
        st.tuples(inner, inner).map("".join),
        st.tuples(inner, inner).map(lambda pair: f"(?:{pair[0]}|{pair[1]})"),
        st.tuples(inner, st.sampled_from(["?", "{2}", "{0,3}", "{1,2}?"])).map(lambda pair: f"(?:{pair[0]}){pair[1]}"),
    ),
    max_leaves=6,
)


@settings(deadline=None)
@given(PATTERNS, st.text(st.sampled_from("abc. ")))
def test_no_match_is_longer_than_its_span(pattern: str, text: str) -> None:
    """Whatever a bounded pattern matches, no match exceeds the span that was computed."""
    options = re2.Options()
    options.longest_match = True
    span = longest_span(pattern)
    assert span is not None
    assert all(found.end() - found.start() <= span for found in re2.compile(pattern, options).finditer(text))
    assert all(found.end() - found.start() <= span for found in re.finditer(pattern, text))


@settings(deadline=None, max_examples=300)
@given(st.text(max_size=16) | st.text("ab²٣1,{}()[]|?*+\\^$.-:<P>i", max_size=24))
def test_any_pattern_that_compiles_has_a_span_or_none(pattern: str) -> None:
    """Whatever an operator writes that RE2 takes: a whole number, None for a pattern without a bound, or the typed objection."""
    with contextlib.suppress(PatternNotSupported, re2.error):
        re2.compile(pattern)
        span = longest_span(pattern)
        assert span is None or span >= 0
