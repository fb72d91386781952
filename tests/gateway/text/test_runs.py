from __future__ import annotations

import base64
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.canary import CANARY, DISGUISES

from gateway.text.runs import MAX_REGION, Runs
from gateway.text.skeleton import skeleton
from gateway.text.views import views

B64 = base64.b64encode(CANARY.encode()).decode()
ENCODED = {name: text for name, text in DISGUISES.items() if skeleton(CANARY) not in skeleton(text)}


def regions(text: str, size: int) -> list[str]:
    """The regions that a text has when it comes in chunks of some size."""
    runs = Runs()
    found = [region for at in range(0, len(text), size) for region in runs.feed(text[at : at + size])]
    return found + runs.flush()


@pytest.mark.parametrize("size", [1, 3, 4, 1000])
@pytest.mark.parametrize("encoded", ENCODED.values(), ids=ENCODED.keys())
def test_every_encoded_canary_is_handed_over(encoded: str, size: int) -> None:
    """Inside of prose, each encoded form comes out as a region whose views show the canary, for every chunk size."""
    found = regions(f"Here it is: {encoded} , as you asked.", size)
    assert any(skeleton(CANARY) in skeleton(view.text) for region in found for view in views(region))


def test_prose_is_held_by_the_word() -> None:
    """Only the word that is being written is held, and nothing is handed over."""
    runs = Runs()
    assert runs.feed("Good morning to y") == []
    assert runs.held == len("Good morning to ")
    assert runs.feed("ou. A fad") == []
    assert runs.held == len("Good morning to you. A ")
    assert runs.flush() == []
    assert runs.held == len("Good morning to you. A fad")


def test_a_run_is_held_from_its_first_character() -> None:
    """While it goes on nothing of it is released; with the blank behind it, it is handed over."""
    runs = Runs(100)
    assert runs.feed("x " + B64) == []
    assert runs.held == 102
    assert runs.feed(" ") == []
    assert runs.feed("and ") == [B64]
    assert runs.held == 102 + len(B64) + 5


def test_lines_belong_together() -> None:
    """Lines below a long token stay with it until a line has a second word."""
    assert regions(f"{B64}\n  {B64}\nbye now {B64}", 5) == [f"{B64}\n  {B64}\nbye", B64]
    assert regions(f"{B64}\n\n{B64}", 5) == [B64, B64]


def test_short_lines_may_be_encoded_too() -> None:
    """A token with capitals or digits inside is held over the line break; words, names and numbers are not."""
    for token, held in (
        ("YW1i", True),
        ("a1b2", True),
        ("Word", False),
        ("NATO", False),
        ("2026", False),
        ("aB1", False),
    ):
        runs = Runs()
        runs.feed(f"{token}\n")
        assert (runs.held == 0) is held, token


def test_pairs_need_company() -> None:
    """Words that happen to be two hex letters are no region; four pairs are; other separators end them."""
    assert regions("we be ad de facto", 2) == []
    assert regions("61 6d 62 65", 2) == ["61 6d 62 65"]
    assert regions("61 6d . 62 65", 2) == []
    assert regions(f"61 6d 62 65 {B64}", 2) == ["61 6d 62 65", B64]
    assert regions(f"{B64} 61 6d 62 65", 2) == [B64, "61 6d 62 65"]


def test_a_long_region_holds_the_rest() -> None:
    """Beyond the limit all that follows is held and handed over at the end, whatever it is."""
    runs = Runs()
    text = "so: " + "A1b2" * (MAX_REGION // 4 + 1)
    assert runs.feed(text) == []
    assert runs.feed(" plain words again. ") == []
    assert runs.held == 4
    assert runs.flush() == [text[4:] + " plain words again. "]


@settings(deadline=None)
@given(st.text(st.sampled_from("ab1 \n,.=%\u200bж")), st.lists(st.integers(0, 60)))
def test_regions_do_not_depend_on_cuts(text: str, cuts: list[int]) -> None:
    """For every cutting the same regions come out, and what is held never moves back or too far."""
    places = sorted({min(cut, len(text)) for cut in cuts} | {0, len(text)})
    runs, found, held = Runs(), [], 0
    for first, last in pairwise(places):
        found += runs.feed(text[first:last])
        assert held <= runs.held <= last
        held = runs.held
    assert found + runs.flush() == regions(text, 1)


class Slow(Runs):
    """Without the short way for prose."""

    def _feed_prose(self, chunk: str) -> bool:
        return False


@settings(max_examples=500, deadline=None)
@given(
    st.lists(
        st.sampled_from(
            (
                *"aBe1 .-_,%\n\u200b\u00e9",
                " we",
                "be ",
                "Harbour",
                "well-known",
                "a" * 15,
                "a" * 16,
                "word7 ",
                "4f 6d ",
                "it's",
                " ",
                B64,
            )
        ),
        max_size=40,
    )
)
def test_the_short_way_for_prose_makes_no_difference(chunks: list[str]) -> None:
    """Whatever comes, in whatever pieces: after each of them as much is held, and the same regions are handed over."""
    runs, slow = Runs(3), Slow(3)
    for chunk in chunks:
        assert runs.feed(chunk) == slow.feed(chunk)
        assert runs.held == slow.held
    assert (runs.flush(), runs.held) == (slow.flush(), slow.held)


def test_a_long_token_takes_the_short_way_only_while_it_is_short() -> None:
    """A token that outgrows the limit holds the rest, as it does without the short way."""
    runs, slow = Runs(), Slow()
    for chunk in ("so ", "a" * (MAX_REGION + 1), " plain words ", "x"):
        assert runs.feed(chunk) == slow.feed(chunk)
        assert runs.held == slow.held == 3
    assert runs.flush() == slow.flush() == ["a" * (MAX_REGION + 1) + " plain words x"]
