from __future__ import annotations

from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.text.incremental import Normaliser
from gateway.text.normal import MAX_CLUSTER, normal

# Characters that make trouble: marks, jamo, ligatures, expansions, ignorables, controls, blanks of all kinds.
TROUBLE = st.sampled_from(
    "aB \t\n\x00ﬁßяЖ中\u0301\u0323\u0345\u1100\u1161\u11a8\u3131\u314f\uff76\uff9e\ufdfa"
    "\u200b\u00a0\u3000\u0130\u03a3\u00b4\u0e33\U0001d15f\U000e0061"
)
TEXT = st.one_of(st.text(), st.text(TROUBLE), st.text(st.characters(max_codepoint=127)), st.text(TROUBLE, min_size=80))


def feed(normaliser: Normaliser, text: str, cuts: list[int]) -> str:
    """The whole output for a text that is cut at some places."""
    places = sorted({min(cut, len(text)) for cut in cuts} | {0, len(text)})
    chunks = [text[first:last] for first, last in pairwise(places)]
    return "".join(normaliser.feed(chunk) for chunk in chunks) + normaliser.flush()


@settings(deadline=None)
@given(TEXT, st.lists(st.integers(0, 120)))
def test_a_stream_normalises_as_its_whole(text: str, cuts: list[int]) -> None:
    """For every cutting, the joined output is the normal form of the whole text."""
    assert feed(Normaliser(), text, cuts) == normal(text)


@settings(deadline=None)
@given(TEXT)
def test_a_stream_of_single_characters_normalises_as_its_whole(text: str) -> None:
    """The same, one character at a time."""
    assert feed(Normaliser(), text, list(range(len(text)))) == normal(text)


@settings(deadline=None)
@given(st.text(st.sampled_from("aBc \n"), max_size=30), TEXT, st.lists(st.integers(0, 120)))
def test_offsets_lead_back_to_before_the_character(head: str, text: str, cuts: list[int]) -> None:
    """What stands before the original offset of a normal offset has a normal form that lies before it, and offsets never fall."""
    normaliser = Normaliser(1000)
    whole = feed(normaliser, head + text, cuts)
    offsets = [normaliser.original(position) for position in range(len(whole) + 1)]
    assert offsets == sorted(offsets)
    assert all(1000 <= offset <= 1000 + len(head + text) for offset in offsets)
    assert offsets[len(whole)] == 1000 + len(head + text)
    for position, offset in enumerate(offsets):
        assert (
            len(normal((head + text)[: offset - 1000])) <= position + 1
        )  # one more: a blank that later blanks would join


def test_offsets_of_plain_text_are_its_own() -> None:
    """ASCII without double blanks maps one to one, and the held character is the frontier."""
    normaliser = Normaliser(10)
    assert normaliser.feed("Amber ") == "amber"
    assert [normaliser.original(position) for position in (0, 4, 5, 99)] == [10, 14, 15, 15]
    assert normaliser.feed("") == ""
    assert normaliser.flush() == " "
    assert normaliser.original(6) == 16


def test_offsets_skip_what_is_dropped() -> None:
    """Behind dropped and collapsed characters the map goes on at the right place; expansions belong to their first character."""
    normaliser = Normaliser()
    assert normaliser.feed("a\u200b\u200bb  cßd.") == "ab cssd"
    assert [normaliser.original(position) for position in range(8)] == [0, 3, 4, 6, 7, 7, 8, 9]


def test_forgetting_keeps_what_is_still_asked_for() -> None:
    """After many changes of distance, old entries are dropped and later offsets stay right."""
    normaliser, kept = Normaliser(), Normaliser()
    for _ in range(100):
        normaliser.feed("a  b")
        kept.feed("a  b")
        normaliser.forget(normaliser.emitted - 5)
    assert all(normaliser.original(kept.emitted - back) == kept.original(kept.emitted - back) for back in range(5))
    assert len(normaliser._at) < 80 < len(kept._at)


def test_no_character_holds_the_stream() -> None:
    """However many marks follow a letter, at most a cluster is held."""
    normaliser = Normaliser()
    for _ in range(1000):
        normaliser.feed("\u0301")
        assert normaliser._seen - normaliser.original(normaliser.emitted) <= MAX_CLUSTER


def test_long_chunks_of_composed_text_keep_their_offsets() -> None:
    """The shortcut for long composed text gives the same map as the long way."""
    text = "Привет Мир, как дела? " * 20
    normaliser = Normaliser()
    whole = normaliser.feed(text)
    assert whole == text.casefold()[:-1]
    assert all(normaliser.original(position) == position for position in range(len(whole)))
