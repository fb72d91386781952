"""The skeleton of a text: look-alikes folded, separators and marks gone. Lossy, so only long literals are matched against it.

A compact table in the manner of Unicode TR39: letters of other scripts, small capitals and enclosed letters that look like Latin
ones, and the digits and signs that stand for letters. Both the text and the literal are folded, so a literal in any script still
matches itself. Every character is folded alone: the skeleton of a text is the joined skeletons of its parts.
"""

from __future__ import annotations

import re

from gateway.text.normal import bare

# What looks like each Latin letter: Cyrillic, Greek, Armenian, Cherokee, then Latin letters and phonetic signs that do not decompose.
# Upper and lower case are listed apart, since they may look like different letters.
_LOOK_ALIKES = {
    "a": "аАӘαΑλΛΔᎪᴀɑæ∀",
    "b": "вВьЬъЪбβΒᏴʙƅɓ",
    "c": "сСᏟᴄƈ",
    "d": "ԁԀδժᎠᏧᴅđĐɗð",
    "e": "еЕҽзЗэЭεΕєЄեᎬᴇɛəǝ",
    "f": "ϝƒᎰꜰ",
    "g": "ցԌᏀᏳɡɢɠ",
    "h": "һҺНнΗհᎻʜħĦɦ",
    "i": "іІӏӀιΙıɪɩᎥɨ",
    "j": "јЈϳͿյᎫȷᴊ",
    "k": "кКқκΚᏦᴋƙ",
    "l": "լԼᏞʟłŁɫ",
    "m": "мМΜᎷᴍɱ",
    "n": "иИпПηΝոπΠɴɲ",
    "o": "оОοΟσօՕᴏøØœɵθ",
    "p": "рРρΡᎮᏢᴘþ",
    "q": "ԛԚզգ",
    "r": "яЯгГՐɾʀᎡᏒ",
    "s": "ѕЅςՏᏚꜱʂ",
    "t": "тТτΤՒᎢᴛŧŦƭ",
    "u": "цЦυսՍՄᴜʉμ",
    "v": "ѵѴνᏙᴠʋ",
    "w": "ԝԜшШωաᎳᏔᴡɯ",
    "x": "хХχΧ",
    "y": "уУүҮγΥՎᎩᎽʏ",
    "z": "ΖζᏃᴢʐƶ",
}
_ENCLOSED = (
    0x1F130,
    0x1F150,
    0x1F170,
    0x1F1E6,
)  # squared, negative circled, negative squared, regional indicators: A to Z each
_CHEROKEE_SMALL = 0xAB70 - 0x13A0  # small letters stand this far behind the capitals, which they resemble
_LEET = {"0": "o", "1": "i", "l": "i", "3": "e", "4": "a", "5": "s", "7": "t", "8": "b", "9": "g", "@": "a", "$": "s"}
_NOT_WORD = re.compile(r"[\W_]+")


def _look_alikes() -> dict[int, str]:
    table = {ord(alike): letter for letter, alikes in _LOOK_ALIKES.items() for alike in alikes}
    small = {code + _CHEROKEE_SMALL: letter for code, letter in table.items() if 0x13A0 <= code < 0x13F0}
    enclosed = {first + place: chr(ord("a") + place) for first in _ENCLOSED for place in range(26)}
    return table | small | enclosed


def _fold_ascii(code: int) -> str:
    letter = chr(code).lower()
    letter = _LEET.get(letter, letter)
    return letter if letter.isalnum() else ""


_TABLE = _look_alikes()
_FOLDED_TABLE = _TABLE | str.maketrans(_LEET)  # once more after case folding: capitals without a row of their own
ASCII_SKELETON = tuple(
    _fold_ascii(code) for code in range(128)
)  # what each ASCII character becomes: one character, or none
_ASCII_FOLD = bytes(ord(folded) if folded else 0 for folded in ASCII_SKELETON) + bytes(128)
_ASCII_DROPPED = bytes(code for code, folded in enumerate(ASCII_SKELETON) if not folded)


def skeleton(text: str) -> str:
    """Letters and digits only, look-alikes folded. ``skeleton(a + b) == skeleton(a) + skeleton(b)``."""
    if text.isascii():
        return ascii_skeleton(text).decode("ascii")
    return _NOT_WORD.sub("", bare(text).translate(_TABLE).casefold().translate(_FOLDED_TABLE))


def ascii_skeleton(text: str) -> bytes:
    """The same for ASCII text, as bytes. Raises UnicodeEncodeError for other text."""
    return text.encode("ascii").translate(_ASCII_FOLD, _ASCII_DROPPED)
