"""The normal form of a text: what rules are matched against.

Default-ignorable and control characters are removed (zero-width, tags, variation selectors, bidi controls), compatibility forms are
unified (NFKC), case is folded, and every run of white space becomes one blank. ``incremental.Normaliser`` gives the same for streams.
"""

from __future__ import annotations

import re
import unicodedata

# Default_Ignorable_Code_Point of Unicode, C0 and C1 controls that are not white space, and interlinear annotation marks.
_IGNORABLE = (
    "\x00-\x08\x0e-\x1b\x7f-\x84\x86-\x9f\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f"
    "\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff"
)
# What continues the character before it without being a mark: conjoining jamo, and compatibility letters that become jamo or marks.
_JOINING = "\u1161-\u1175\u11a8-\u11c2\u3133\u3135\u3136\u313a-\u313f\u314f-\u3163\uff9e-\uffdc\ud7b0-\ud7fb"
MAX_CLUSTER = 64  # characters; longer runs of combining marks are cut, so that no stream can be held by one character


def _marks(last: int) -> str:
    """All combining marks up to ``last`` as the inside of a character class."""
    ranges: list[list[int]] = []
    for code in range(0x300, last + 1):
        if unicodedata.category(chr(code))[0] == "M":
            if ranges and ranges[-1][1] == code - 1:
                ranges[-1][1] = code
            else:
                ranges.append([code, code])
    return "".join(f"{chr(first)}-{chr(final)}" for first, final in ranges)


# ``re`` tests ranges above U+FFFF one after the other, so what runs over whole texts takes those characters in one coarse range.
_ASTRAL = "\U00010000-\U0001ffff"  # above it there are no marks but variation selectors, which are ignorable
_MARKS = _marks(0xFFFF)
_EXTENDING = _marks(0x1FFFF) + _JOINING
IGNORABLE = re.compile(f"[{_IGNORABLE}]+")
CLUSTER = re.compile(
    f"[^{_EXTENDING}][{_EXTENDING}]{{0,{MAX_CLUSTER - 1}}}|[{_EXTENDING}]{{1,{MAX_CLUSTER}}}", re.DOTALL
)
EXTENDING = re.compile(f"[{_EXTENDING}]")
_DROPPED = re.compile(f"[{_IGNORABLE}{_MARKS}]+")
_LONG_RUN = re.compile(f"[{_MARKS}{_JOINING}{_ASTRAL}]{{{MAX_CLUSTER}}}")
_SPACE = re.compile(r"\s")
ASCII_CONTROLS = bytes([*range(9), *range(0x0E, 0x1C), 0x7F])
ASCII_FOLD = bytes(0x20 if chr(code).isspace() else ord(chr(code).lower()) for code in range(128)) + bytes(
    range(128, 256)
)


def normal(text: str) -> str:
    """The normal form of a whole text. Linear in its length, also for runs of combining marks."""
    folded = (
        text.encode("ascii").translate(ASCII_FOLD, ASCII_CONTROLS).decode("ascii")
        if text.isascii()
        else fold(strip(text))
    )
    while "  " in folded:
        folded = folded.replace("  ", " ")
    return folded


def strip(text: str) -> str:
    """The text without ignorable and control characters."""
    return IGNORABLE.sub("", text)


def fold(kept: str) -> str:
    """Compatibility and case folding of stripped text; white space becomes blanks, one for one."""
    if has_long_run(kept):  # normalising sorts marks in quadratic time, so long runs are folded cluster by cluster
        return "".join(_fold(cluster) for cluster in CLUSTER.findall(kept))
    return _fold(kept)


def compatible(text: str) -> str:
    """Stripped and NFKC, case kept: what decoders read (full-width digits, zero-width characters inside an encoded run)."""
    kept = strip(text)
    return kept if has_long_run(kept) else unicodedata.normalize("NFKC", kept)


def has_long_run(kept: str) -> bool:
    """Whether some character may carry so many marks that it is cut; also true for as many emoji, which then only takes longer."""
    return _LONG_RUN.search(kept) is not None


def bare(text: str) -> str:
    """The text without ignorable characters and marks, decomposed (NFKD). Marks that decomposing brings about remain."""
    kept = _DROPPED.sub("", text)
    if has_long_run(kept):
        kept = EXTENDING.sub("", kept)
    return unicodedata.normalize("NFKD", kept)


def folds_one_to_one(kept: str) -> bool:
    """True only when folding keeps every character in its place. Cheap, and true for nearly all composed natural text."""
    if not unicodedata.is_normalized("NFKC", kept):
        return False
    folded = kept.casefold()
    return len(folded) == len(kept) and unicodedata.is_normalized("NFKC", folded)


def _fold(kept: str) -> str:
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", kept).casefold())
    return _SPACE.sub(" ", folded)
