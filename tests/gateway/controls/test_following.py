from __future__ import annotations

import time

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from support.canary import CANARY, CANARY_RULES, DISGUISES, rule, rule_set

from gateway.controls.benign import benign
from gateway.controls.following import AsciiBones, Bones, Follower
from gateway.controls.matching import Matcher, live
from gateway.exchange import Direction
from gateway.terms import Rule

RULES = rule_set(
    *CANARY_RULES.rules,
    rule("short", "zorb lax"),
    rule("gap", pattern=r"\bblue\W{1,3}(?:old )?herons?\b"),
    rule("plain", pattern="teal.{1,12}finch"),
)
MATCHERS = (Matcher(RULES), Matcher(rule_set(rule("other", "velvet lighthouse orchard"))))
CARRIERS = (
    *DISGUISES.values(),
    "Zorb \u200b\n Lax",
    "blue - old HERONS",
    "teal \n and a Finch",
    "v-elvet LIGHTHOUSE o.rchard",
)
PROSE = st.sampled_from(benign())
CUTS = st.lists(st.integers(1, 40), min_size=1, max_size=60)


class Broken(Follower):
    """Holds nothing back: what no rule has matched so far is released at once."""

    def _frontier(self) -> int:
        return self._seen


class NearlyBroken(Follower):
    """Forgets the runs that look encoded."""

    def _frontier(self) -> int:
        self._runs.held = self._seen
        return super()._frontier()


def pieces(text: str, sizes: list[int]) -> list[tuple[str, bool]]:
    """The text in pieces of these sizes, over and over, with the last one marked."""
    found, at = [], 0
    while at < len(text):
        size = sizes[len(found) % len(sizes)]
        found.append((text[at : at + size], at + size >= len(text)))
        at += size
    return found


def leaks(kind: type[Follower], before: str, carrier: str, after: str, sizes: list[int]) -> bool:
    """Whether a character of the carrier was ever cleared, or its match was never found."""
    follower = kind(MATCHERS, 0, now=0)
    for text, final in pieces(f"{before} {carrier} {after}", sizes):
        found = follower.feed(text, final=final)
        if follower.cleared > len(before) + 1:
            return True
        if found is not None:
            return False
    return True


@settings(max_examples=400, deadline=None)
@given(PROSE, st.sampled_from(CARRIERS), PROSE, CUTS)
def test_no_character_of_a_match_is_ever_cleared(before: str, carrier: str, after: str, sizes: list[int]) -> None:
    """For every disguise and every cutting, all of a match is still held when it is found, and it is found."""
    assert not leaks(Follower, before, carrier, after, sizes)


@pytest.mark.parametrize("carrier", CARRIERS)
def test_no_disguise_leaks_character_by_character(carrier: str) -> None:
    """The same for each disguise in single characters, and in chunks of four."""
    assert not leaks(Follower, "Well then.", carrier, "Good night.", [1])
    assert not leaks(Follower, "Well then.", carrier, "Good night.", [4])


@pytest.mark.parametrize(
    ("kind", "carrier"), [(Broken, CANARY), (Broken, "Zorb Lax"), (NearlyBroken, DISGUISES["base64"])]
)
def test_a_broken_follower_fails_the_property(kind: type[Follower], carrier: str) -> None:
    """A follower that does not hold back, or not what looks encoded, is caught by the check above."""
    assert leaks(kind, "Well then.", carrier, "Good night.", [4])


@settings(deadline=None)
@given(st.lists(PROSE, min_size=1, max_size=5), CUTS)
def test_harmless_text_is_cleared_to_its_end(sentences: list[str], sizes: list[int]) -> None:
    """What is cleared never moves back or beyond the text, and at the end it is all of it."""
    text = " ".join(sentences)
    follower, seen, cleared = Follower(MATCHERS, 7, now=0), 7, 7
    for part, final in pieces(text, sizes):
        assert follower.feed(part, final=final) is None
        seen += len(part)
        assert cleared <= follower.cleared <= seen
        cleared = follower.cleared
    assert cleared == 7 + len(text)


SMALL = rule_set(
    rule("w", pattern=r"\bab{1,3}\b"),
    rule("n", pattern=r"b\B[ab]{2}"),
    rule("s", "ab a"),
    rule("g", pattern="aa.{1,2}bb"),
    rule("l", "abababababab"),
)
SMALL_MATCHER = Matcher(SMALL)


@settings(max_examples=300, deadline=None)
@given(st.text(st.sampled_from("ab A\n\u200b\u0301é."), max_size=40), CUTS)
def test_a_stream_is_judged_as_its_whole(text: str, sizes: list[int]) -> None:
    """For texts close to the rules, the stream is blocked if and only if the whole text is."""
    assume(text)
    follower = Follower((SMALL_MATCHER,), 0, now=0)
    streamed: Rule | None = None
    for part, final in pieces(text, sizes):
        streamed = streamed or follower.feed(part, final=final)
    assert (streamed is None) == (live(SMALL_MATCHER.in_text(text), Direction.OUTPUT, 0) is None)


def test_an_answer_in_one_piece_is_judged_at_once() -> None:
    """The only piece is judged in all its views, also in those that need the whole."""
    assert Follower(MATCHERS, 0, now=0).feed(f"see {DISGUISES['base64 twice']}", final=True) is not None
    follower = Follower(MATCHERS, 0, now=0)
    assert follower.feed("Good morning.", final=True) is None
    assert follower.cleared == 13


def test_without_output_rules_nothing_is_held() -> None:
    """No rules on answers, no hold-back."""
    follower = Follower((Matcher(rule_set(rule(literal=CANARY, directions=frozenset({Direction.INPUT})))),), 5, now=0)
    assert follower.feed(CANARY, final=False) is None
    assert follower.cleared == 5 + len(CANARY)


def test_short_rules_alone_are_followed_too() -> None:
    """Without any long literal there is no skeleton to follow, and the normal form does."""
    follower = Follower((Matcher(rule_set(rule("short", "zorb lax"))),), 0, now=0)
    assert follower.feed("Zorb", final=False) is None
    assert follower.cleared == 0
    assert follower.feed(" \n lax.", final=False) is not None


def test_expired_rules_do_not_stop_the_stream() -> None:
    """After its expiry a rule's text passes, though it is still held as far as it could be a match."""
    follower = Follower((Matcher(rule_set(rule(literal=CANARY, expires=100))),), 0, now=100)
    assert follower.feed(f"{CANARY}, yes. ", final=False) is None
    assert follower.cleared == len(CANARY) + 7


def test_an_empty_last_piece_settles_the_rest() -> None:
    """What was held at the end is cleared, or matched, by the final piece."""
    follower = Follower(MATCHERS, 0, now=0)
    assert follower.feed("two blue heron", final=False) is None
    assert follower.cleared <= 4
    found = follower.feed("", final=True)
    assert found is not None
    assert found.id == "gap"


def test_a_long_run_holds_the_rest_of_the_answer() -> None:
    """Beyond 4 KiB of what looks encoded, nothing more is cleared before the end."""
    follower = Follower(MATCHERS, 0, now=0)
    follower.feed("data: " + "A1b2" * 1100, final=False)
    follower.feed(" and then plain words. ", final=False)
    assert follower.cleared == 6
    assert follower.feed("Bye.", final=True) is None
    assert follower.cleared == 6 + 4400 + 23 + 4


def test_harmless_answers_are_held_by_a_few_words() -> None:
    """On benign text in chunks of four the median hold-back stays far below 48 tokens (about 190 characters)."""
    text, held = " ".join(benign()), []
    follower, seen = Follower(MATCHERS, 0, now=0), 0
    for part, final in pieces(text, [4]):
        follower.feed(part, final=final)
        seen += len(part)
        held.append(seen - follower.cleared)
    assert sorted(held)[len(held) // 2] <= 40
    assert max(held) <= 80


def test_the_work_of_a_step_does_not_grow() -> None:
    """The last steps of a long answer take no longer than the first."""
    follower, sentence = Follower(MATCHERS, 0, now=0), "The quick brown fox jumps over it. " * 10

    def spent() -> float:
        begun = time.process_time()
        for part, _ in pieces(sentence, [4]):
            follower.feed(part, final=False)
        return time.process_time() - begun

    first = min(spent() for _ in range(5))
    for _ in range(150):
        spent()
    assert min(spent() for _ in range(5)) < 3 * first


@pytest.mark.parametrize("unit", ["a ", "A1", "\u0301", "ab", "61 ", "aB\n", "中", "%4"])
def test_any_stream_is_followed_in_linear_time(unit: str) -> None:
    """Thirty thousand characters of anything, four at a time, take well under three seconds."""
    follower, begun = Follower((*MATCHERS, SMALL_MATCHER), 0, now=0), time.process_time()
    for part, final in pieces(unit * (30_000 // len(unit)), [4]):
        follower.feed(part, final=final)
    assert time.process_time() - begun < 3


@given(st.text(st.characters(max_codepoint=127), max_size=30), st.integers(0, 9))
def test_offsets_of_ascii_are_those_of_any_text(text: str, start: int) -> None:
    """The short way for ASCII gives the same skeleton, and the same place in the original for every end of it."""
    short, long = AsciiBones(text, start), Bones(text, start)
    assert short.text == str(long.text).encode()
    for count in range(len(short.text) + 1):
        assert short.offsets(count) == long.offsets(count)
