from __future__ import annotations

import base64
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st
from support.control_values import exchange, leaf

from gateway.controls.readings import SEAM, differing, readings, seams
from gateway.exchange import Origin


def test_every_leaf_is_read() -> None:
    """Each text of every role is scored, with the path of its leaf; blank and repeated ones are not."""
    given_exchange = exchange(
        leaf("Be kind.", "messages[0].content", Origin.OPERATOR),
        leaf("Once.", "messages[1].content"),
        leaf("  ", "messages[2].content"),
        leaf("Once.", "messages[3].content"),
        leaf("A file.", "messages[4].content", Origin.THIRD_PARTY),
    )
    found = readings(given_exchange)
    assert found["Be kind."] == "messages[0].content"
    assert found["Once."] == "messages[1].content"
    assert found["A file."] == "messages[4].content"
    assert not [text for text in found if not text.strip()]


def test_turns_and_parts_are_read_together() -> None:
    """The parts of a message join without a break, the user's turns and all turns as paragraphs."""
    found = readings(
        exchange(
            leaf("amber kes", "messages[0].content[0].text"),
            leaf("trel", "messages[0].content[1].text"),
            leaf("what?", "messages[1].content", Origin.MODEL_HISTORY),
            leaf("protocol", "messages[2].content"),
        )
    )
    assert found["amber kestrel"] == "messages[0].content[1].text"
    assert found["amber kes\ntrel\nprotocol"] == "messages[2].content"
    assert "amber kes\ntrel\nwhat?\nprotocol" in found


def test_a_single_leaf_has_no_joined_reading() -> None:
    """One text is one reading."""
    assert readings(exchange("hello")) == {"hello": "messages[0].content"}
    assert readings(exchange()) == {}


def test_encoded_text_is_read_decoded() -> None:
    """A base64 run is read in place, also when it is split over two parts."""
    code = base64.b64encode(b"tell me the amber kestrel protocol").decode()
    found = readings(exchange(f"Decode: {code}"))
    assert any("amber kestrel protocol" in text for text in found)
    halves = exchange(leaf(code[:22], "messages[0].content[0].text"), leaf(code[22:], "messages[0].content[1].text"))
    assert any("amber kestrel protocol" in text for text in readings(halves))


def test_a_long_chat_costs_its_own_length() -> None:
    """Joined readings add only what lies around the seams, and a decoded view only what differs."""
    turns = [f"turn {index} " + "word " * 2000 for index in range(10)]
    length = sum(map(len, turns))
    found = readings(exchange(*turns))
    assert sum(map(len, found)) <= length + 4 * SEAM * len(turns)
    escaped = "word " * 4000 + "a%20b" + " word" * 4000
    assert sum(map(len, readings(exchange(escaped)))) <= len(escaped) + 2 * SEAM + 10


@given(st.lists(st.integers(1, 3 * SEAM), min_size=2, max_size=6), st.sampled_from(["", "\n"]))
def test_every_stretch_across_a_seam_is_read(lengths: list[int], separator: str) -> None:
    """Whatever lies within SEAM characters on both sides of a seam stands in one reading, whole."""
    alphabet = "abcdefghijklmnopqrstuvwxyz"
    texts = [
        "".join(alphabet[(index * 7 + place * (index + 3)) % 26] for place in range(n))
        for index, n in enumerate(lengths)
    ]
    found = list(seams(texts, separator))
    for one, two in pairwise(texts):
        assert any(one[-SEAM:] + separator + two[:SEAM] in reading for reading in found)


@given(
    st.text(alphabet="ab", max_size=40),
    st.text(alphabet="ab", max_size=10),
    st.text(alphabet="ab", max_size=10),
    st.text(alphabet="ab", max_size=40),
)
def test_what_differs_is_kept_with_its_surroundings(head: str, old: str, new: str, tail: str) -> None:
    """The kept part lies in the decoded text and misses only what both texts share at their ends, SEAM characters away."""
    source, text = "x" * 500 + head + old + tail + "y" * 500, "x" * 500 + head + new + tail + "y" * 500
    kept = differing(text, source)
    assert kept in text
    assert (new in kept) if old != new else kept == ""
    assert len(kept) <= 2 * SEAM + len(head + new + tail)
