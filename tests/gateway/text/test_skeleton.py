from __future__ import annotations

import sys

from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.text.normal import normal
from gateway.text.skeleton import ASCII_SKELETON, skeleton


def test_look_alikes_fold_to_what_they_look_like() -> None:
    """Cyrillic, Greek, Armenian, Cherokee, small capitals, enclosed letters, marks and digits."""
    for disguise in (
        "раypal",
        "ΡΑΥΡΑL",
        "рауρаӏ",
        "ᏢᎪᎽᏢᎪᏞ",
        "ᴘᴀʏᴘᴀʟ",
        "🅿🅰🆈🅿🅰🅻",
        "p\u0336a\u0301y-p a.l",
        "P4YP@1",
        "𝓹𝓪𝔂𝓹𝓪𝓵",
        "ꮲꭺꮍꮲꭺꮮ",
    ):
        assert skeleton(disguise) == skeleton("paypal"), disguise


@settings(deadline=None)
@given(st.text(), st.text())
def test_every_character_folds_alone(one: str, two: str) -> None:
    """The skeleton of a text is the joined skeletons of its parts."""
    assert skeleton(one + two) == skeleton(one) + skeleton(two)


def test_ascii_by_table_and_by_the_long_way_agree() -> None:
    """Each ASCII character becomes the same alone and beside other scripts."""
    for code, folded in enumerate(ASCII_SKELETON):
        assert skeleton(chr(code)) == folded
        assert skeleton(chr(code) + "ж") == folded + skeleton("ж")


def test_a_skeleton_has_letters_and_digits_only() -> None:
    """Brute force over Unicode: separators, marks and signs are gone."""
    assert all(
        skeleton(chr(code)).isalnum() or not skeleton(chr(code))
        for code in range(sys.maxunicode + 1)
        if not 0xD800 <= code < 0xE000
    )


def test_latin_found_in_the_normal_form_is_found_in_the_skeleton() -> None:
    """Brute force over Unicode: where a character normalises to ASCII, its skeleton is that of its normal form."""
    for code in range(sys.maxunicode + 1):
        folded = normal(chr(code)) if not 0xD800 <= code < 0xE000 else ""
        if folded.isascii():
            assert skeleton(chr(code)) == skeleton(folded), hex(code)


def test_a_text_in_any_script_matches_itself_in_either_case() -> None:
    """Folding is applied to literals too, so Greek and Cyrillic literals are found in lower and title case."""
    assert skeleton("СВОДКА ПОГОДЫ") == skeleton("сводка погоды")
    assert skeleton("天気予報") == "天気予報"
