from __future__ import annotations

import base64

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.canary import CANARY, DISGUISES
from support.control_values import leaf

from gateway.exchange import Origin
from gateway.text.skeleton import skeleton
from gateway.text.views import DEPTH, EXPANSION, View, exchange_views, joined_views, views


def test_plain_text_has_one_view() -> None:
    """The original is always there, and for plain text it is all."""
    assert views("Good morning.") == (View("original", "Good morning.", lossless=True),)
    assert views("") == (View("original", "", lossless=True),)


@pytest.mark.parametrize("disguise", DISGUISES.values(), ids=DISGUISES.keys())
def test_some_view_of_every_disguise_shows_the_canary(disguise: str) -> None:
    """Each disguise comes off in at least one view."""
    assert any(skeleton(CANARY) in skeleton(view.text) for view in views(f"Please read: {disguise} and answer."))


def test_decoding_stops_at_its_depth() -> None:
    """Two rounds are undone, with their names; the third is not tried."""
    text = CANARY
    for _ in range(DEPTH + 1):
        text = base64.b64encode(text.encode()).decode()
    found = views(text)
    assert [view.name for view in found] == ["original", "base64", "base64>base64"]
    assert CANARY not in found[-1].text


def test_no_view_grows_beyond_its_bound() -> None:
    """A character that unfolds into eighteen does not make a view eighteen times as long."""
    text = "\ufdfa" * 500 + "%41"
    assert all(len(view.text) <= 4 * len(text) for view in views(text))
    assert len(views("\ufdfa" * 500 + "\uff05\uff14\uff11")) == 1


def test_one_leaf_has_nothing_to_join() -> None:
    """Joined views need at least two leaves."""
    assert list(joined_views([leaf("x")])) == []
    assert [reading.view.name for reading in exchange_views([leaf("x")])] == ["original"]


def test_parts_turns_and_user_turns_are_joined() -> None:
    """Parts of a message, all turns, and the user's turns around others; joined views are lossy and name their last leaf."""
    leaves = [
        leaf("one", "messages[0].content[0].text"),
        leaf("two", "messages[0].content[1].text"),
        leaf("said", "messages[1].content", Origin.MODEL_HISTORY),
        leaf("three", "messages[2].content"),
    ]
    found = list(joined_views(leaves))
    assert [(reading.view.name, reading.view.text, reading.path) for reading in found] == [
        ("parts", "onetwo", "messages[0].content[1].text"),
        ("turns", "onetwosaidthree", "messages[2].content"),
        ("user turns", "onetwothree", "messages[2].content"),
    ]
    assert not any(reading.view.lossless for reading in found)
    assert len(list(exchange_views(leaves))) == len(leaves) + len(found)


def test_what_is_encoded_across_parts_is_decoded() -> None:
    """A run that is cut between two parts is whole in the joined view."""
    run = base64.b64encode(CANARY.encode()).decode()
    leaves = [leaf(run[:15], "messages[0].content[0].text"), leaf(run[15:], "messages[0].content[1].text")]
    assert CANARY in [reading.view.text for reading in joined_views(leaves)]


@settings(deadline=None)
@given(st.lists(st.text(max_size=30) | st.text("Ab1+/=%4 \\x&#;\u200b\ufdfa", max_size=40), max_size=5))
def test_any_texts_have_bounded_views(texts: list[str]) -> None:
    """Every leaf is read as it stands, first; there are few views, none much longer than its source; joined ones hold everything."""
    for text in texts:
        found = views(text)
        assert (found[0].name, found[0].text) == ("original", text)
        assert len(found) <= 1 + DEPTH
        assert all(len(view.text) <= max(1, EXPANSION * len(text)) for view in found)
    leaves = [leaf(text, f"messages[{place}].content") for place, text in enumerate(texts)]
    readings = list(exchange_views(leaves))
    assert [reading.view.text for reading in readings if reading.view.name == "original"] == texts
    assert len(texts) < 2 or "".join(texts) in [reading.view.text for reading in readings]
