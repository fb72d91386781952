from __future__ import annotations

import base64
import random
import re
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.canary import CANARY

from gateway.text.decode import decode, readable, suspicious

PROSE = (
    "Our pricing page lists three plans, and on 12 May 2026 we add a fourth (at 10:30). A cafe be a fad; dead beef? "
)


def test_prose_is_not_suspicious() -> None:
    """Ordinary sentences with numbers, short words of hex letters and dates cost only the scans."""
    assert not suspicious(PROSE * 50)
    assert decode(PROSE) is None
    assert not suspicious("Ein ganz gewöhnlicher Satz, nichts weiter. " * 20)


@pytest.mark.parametrize(
    "text",
    [
        "https://example.com/some/long-path/with_many-words/and/more",
        "commit 3b18e512dba79e4c8300dd08aeb37f8e728b8dad",
        "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
        "a_function_name_that_goes_on_for_long and CamelCaseNamesThatGoOnForLong",
        "100%ab is no escape of text \\d{4} &#x;",
        "10 20 30 40 50 60 70 80 90 10 20 30",
        "uuid 123e4567-e89b-12d3-a456-426614174000",
    ],
)
def test_what_only_looks_encoded_stays_as_it_is(text: str) -> None:
    """Paths, hashes, identifiers and tables of numbers decode to noise, which is not taken for a reading."""
    decoded = decode(text)
    assert (
        decoded is None or re.sub(r"[^\x20-\x7e]", "", decoded[0]) == re.sub("%ab", "", text) or "escapes" in decoded[1]
    )


def test_random_bytes_are_no_reading() -> None:
    """Encoded binary data, as in images, is left alone."""
    for size in (48, 300, 4000):
        assert decode(base64.b64encode(random.Random(size).randbytes(size)).decode()) is None


def test_runs_are_replaced_in_place() -> None:
    """Prose around a run stays, padding goes, and a phrase of which a part is encoded becomes whole."""
    half = base64.b64encode(b"kestrel protocol").decode()
    assert decode(f"say amber {half} now") == ("say amber kestrel protocol now", "base64")
    assert decode(f"x={CANARY.encode().hex()}; y") == (f"x={CANARY}; y", "base64")
    assert decode(f"x=7{CANARY.encode().hex()}; y") == (f"x={CANARY}; y", "base64")


def test_the_last_line_of_a_run_may_be_prose() -> None:
    """A word right below the encoded lines does not spoil them."""
    run = base64.b64encode(CANARY.encode() * 3).decode()
    wrapped = "\n".join((run[:44], run[44:]))
    decoded = decode(f"{wrapped}\nThanks")
    assert decoded is not None
    assert CANARY * 3 in decoded[0]
    noise = "z" * 40
    assert decode(f"{wrapped}\n{noise}") == (f"{CANARY * 3}\n{noise}", "base64")


def test_lines_are_read_one_by_one_when_they_do_not_join() -> None:
    """Each line may be encoded for itself, and lines of noise between them stay."""
    # Lines for themselves, because their padding is missing.
    lines = [
        base64.b64encode(text).decode().rstrip("=")
        for text in (CANARY.encode(), b"blue heron summary!", random.Random(24).randbytes(24))
    ]
    decoded = decode("\n".join((lines[2], lines[0], lines[2], lines[1], lines[2])))
    assert decoded is not None
    assert decoded[0].split("\n")[1] == CANARY
    assert decoded[0].split("\n")[3] == "blue heron summary!"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("%61%6D%62er%20x", "amber x"),
        ("\\x61\\x6d\\u0062\\u{65}r", "amb\\u{65}r"),
        ("\\u{0065}\\U00000072\\141", "era"),
        ("&#97;&#x6D;&#98", "amb"),
        ("\\ud800 &#55296; \\U00110000", None),
        ("\\xff\\u0061", "\ufffda"),
    ],
)
def test_escapes(text: str, expected: str | None) -> None:
    """Percent, backslash and entity escapes become their characters; surrogates and numbers beyond Unicode stay."""
    decoded = decode(text)
    assert (decoded[0] if decoded else None) == expected


def test_hidden_characters_show() -> None:
    """Tag characters and bytes written as variation selectors become text; a lone emoji selector does not."""
    assert decode("hi" + "".join(chr(0xE0000 + ord(letter)) for letter in CANARY)) == ("hi" + CANARY, "hidden")
    assert decode("\U0001f600" + "".join(chr(0xE00F0 + ord(letter)) for letter in CANARY)) == (
        "\U0001f600" + CANARY,
        "hidden",
    )
    assert decode("\u2764\ufe0f") is None
    assert decode("\ufe00\ufe01\ufe02\ufe03\ufe04") is None


def test_readable_text() -> None:
    """UTF-8 and UTF-16 of Latin letters are text, an eighth of noise is suffered, more is not, and nothing is nothing."""
    assert readable("schön".encode()) == "schön"
    assert readable(b"a\0b\0c\0") == "abc"
    assert readable(b"abcdefg\x01") == "abcdefg\x01"
    assert readable(b"abc\x01") is None
    assert readable(b"\xff\xfe\xfd") is None
    assert readable(b"\0\0") is None
    assert readable(b"") is None


@settings(deadline=None)
@given(st.text())
def test_any_text_can_be_decoded(text: str) -> None:
    """Whatever comes in, decoding neither fails nor claims to have changed what it has not."""
    decoded = decode(text)
    assert decoded is None or (decoded[0] != text and decoded[1])


@settings(deadline=None)
@given(st.text(st.sampled_from("0123456789abcdefABCDEFxX \\%&#;u,:\n=+/_-"), max_size=200))
def test_any_half_encoded_text_can_be_decoded(text: str) -> None:
    """The same for text made of the characters that encoders use."""
    decoded = decode(text)
    assert decoded is None or decoded[0] != text


@pytest.mark.parametrize("unit", ["abcdefghijklmnopQ ", "0x61 ab ", "61 ", "%41", "\\x41", "&#65;", "A", "aB\n"])
def test_work_is_linear(unit: str) -> None:
    """A quarter of a megabyte of anything takes well under two seconds."""
    text = unit * (262_144 // len(unit))
    begun = time.process_time()
    decode(text)
    assert time.process_time() - begun < 2
