from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.controls.automaton import Automaton

LITERALS = st.lists(st.text(st.sampled_from("ab"), min_size=1, max_size=5), unique=True, max_size=8)


@settings(deadline=None)
@given(LITERALS, st.text(st.sampled_from("abc")))
def test_it_finds_what_a_plain_search_finds(literals: list[str], text: str) -> None:
    """After each character, the hits are exactly the literals that the text ends with."""
    automaton, state = Automaton(literals), 0
    for end, character in enumerate(text, 1):
        hits: list[int] = []
        state = automaton.advance(state, character, hits)
        assert sorted(hits) == [index for index, literal in enumerate(literals) if text[:end].endswith(literal)]


@settings(deadline=None)
@given(LITERALS, st.text(st.sampled_from("abc")))
def test_its_depth_is_what_a_match_may_begin_in(literals: list[str], text: str) -> None:
    """The depth of the state is the longest end of the text that some literal begins with."""
    automaton = Automaton(literals)
    state = automaton.advance(0, text, [])
    beginnings = {"", *(literal[:length] for literal in literals for length in range(len(literal) + 1))}
    assert automaton.depth[state] == max(
        length for length in range(len(text) + 1) if text[len(text) - length :] in beginnings
    )


@settings(deadline=None)
@given(LITERALS, st.text(st.sampled_from("abc")), st.integers(0, 50))
def test_chunks_make_no_difference(literals: list[str], text: str, cut: int) -> None:
    """Two chunks lead to the same state and the same hits as one."""
    automaton = Automaton(literals)
    whole: list[int] = []
    parts: list[int] = []
    state = automaton.advance(0, text, whole)
    assert automaton.advance(automaton.advance(0, text[:cut], parts), text[cut:], parts) == state
    assert parts == whole
