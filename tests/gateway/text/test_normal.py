from __future__ import annotations

import sys
import time
import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.text import normal as module
from gateway.text.normal import CLUSTER, EXTENDING, bare, compatible, fold, folds_one_to_one, normal, strip


def composing() -> set[str]:
    """Every starter that may become one with the character before it."""
    pairs = (unicodedata.decomposition(chr(code)).split() for code in range(sys.maxunicode + 1))
    second = {chr(int(pair[1], 16)) for pair in pairs if len(pair) == 2 and pair[0][0] != "<"}
    jamo = {*map(chr, range(0x1161, 0x1176)), *map(chr, range(0x11A8, 0x11C3))}
    return second | jamo


def test_no_character_outside_the_class_changes_what_stands_before_it() -> None:
    """Brute force over Unicode: whatever does not extend a cluster begins, folded, with a character that nothing composes with."""
    second = composing()
    wrong = []
    for code in range(sys.maxunicode + 1):
        character = chr(code)
        if 0xD800 <= code < 0xE000 or not strip(character) or EXTENDING.match(character):
            continue
        for reading in (character, fold(character)):
            first = unicodedata.normalize("NFKD", reading)[0]
            if unicodedata.combining(first) or first in second:
                wrong.append(hex(code))
    assert not wrong


def test_folding_leaves_nothing_that_is_stripped() -> None:
    """Brute force over Unicode: no folded character is ignorable, a control, or white space other than a blank."""
    for code in range(sys.maxunicode + 1):
        if not 0xD800 <= code < 0xE000:
            folded = normal(chr(code))
            assert strip(folded) == folded
            assert not any(character.isspace() and character != " " for character in folded)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Amber  Kestrel\r\n\tPROTOCOL", "amber kestrel protocol"),
        ("am\x00b\x08er\x7f", "amber"),
        ("ＡＭＢＥＲ\u3000ｋ", "amber k"),
        ("ﬁne Straße \u212a", "fine strasse k"),
        ("a\u200bm\ufeff\u2060b\u00ad\ufe0fe\U000e0041r", "amber"),
        ("e\u0301 é", "é é"),
        ("\x1c\x85x", " x"),
        ("", ""),
    ],
)
def test_normal_form(text: str, expected: str) -> None:
    """Case, width, compatibility forms, ignorables, controls and white space are unified."""
    assert normal(text) == expected


@settings(deadline=None)
@given(st.text(st.characters(max_codepoint=127)))
def test_the_shortcut_for_ascii_says_the_same(text: str) -> None:
    """ASCII takes a table; a non-ASCII character beside it makes the same text take the long way."""
    assert normal(text + "é") == normal(normal(text) + "é")


@settings(deadline=None)
@given(st.text(), st.text())
def test_texts_join_at_ascii(one: str, two: str) -> None:
    """An ASCII letter separates: what stands before it does not change what stands behind."""
    assert normal(one + "x" + two) == normal(one + "x") + normal("x" + two)[1:]


@pytest.mark.parametrize("marks", ["\u0301\u0323", "\U00010a0d\U00010a0f\U0001e8d0\U0001d165", "\U0001f600"])
def test_long_runs_are_linear(marks: str) -> None:
    """A hundred thousand marks on one letter are folded in well under a second, where plain normalising would sort for minutes."""
    text = "a" + marks * (100_000 // len(marks))
    begun = time.process_time()
    for function in (normal, compatible, bare):
        function(text)
    assert time.process_time() - begun < 3


def test_long_runs_are_cut_into_clusters() -> None:
    """A run of marks is folded in clusters of 64 characters."""
    text = "a" + "\u0301" * 200
    assert [len(cluster) for cluster in CLUSTER.findall(text)] == [64, 64, 64, 9]
    assert normal(text) == "".join(fold(cluster) for cluster in CLUSTER.findall(text))


def test_compatible_keeps_case() -> None:
    """What decoders read is unified but not lowered."""
    assert compatible("ＹＷ1i\u200bZ") == "YW1iZ"


def test_bare_drops_marks() -> None:
    """Marks and ignorables go; what is composed falls apart."""
    assert bare("p\u0336r\u200bé") == "pre\u0301"


def test_one_to_one_is_never_claimed_wrongly() -> None:
    """Only text that folds in place counts as such."""
    assert folds_one_to_one("Привет, Мир")
    assert not folds_one_to_one("ﬁ")
    assert not folds_one_to_one("ß")
    assert not folds_one_to_one("e\u0301")


def test_the_coarse_range_covers_all_marks() -> None:
    """Above the coarse range there are no marks but ignorable ones."""
    assert all(
        not strip(chr(code)) for code in range(0x20000, sys.maxunicode + 1) if unicodedata.category(chr(code))[0] == "M"
    )
    assert module.MAX_CLUSTER == 64
