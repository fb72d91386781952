"""Decoding what a model could read but a matcher could not: base64, hex, percent and other escapes, hidden tag characters.

``decode`` replaces every encoded run in its place by what it means, so that a phrase of which only a part is encoded is whole again.
A run counts only when its bytes are mostly printable text. Plain text is told apart by a few scans at C speed.
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Callable, Iterator

MIN_RUN = 16  # characters of one alphabet without a break, below which base64 and plain hex are not looked for
_HEX_DIGITS = "0123456789abcdefABCDEF"
_RUN_CLASSES = bytes(
    ord("a") if chr(code).isalnum() or chr(code) in "+/_-\r\n" else ord(" ") for code in range(128)
) + bytes(128)
_HEX_CLASSES = bytes(
    ord("h") if chr(code) in _HEX_DIGITS else ord(" ") if chr(code).isspace() or chr(code) in ",:;-" else code
    for code in range(128)
) + bytes(128)
_RUN = b"a" * MIN_RUN
_SPACED_HEX = (b"hh hh hh hh", b"hh  hh  hh  hh", b"hxhh")  # pairs with one or two separators; the last is 0x61

_HEX_RUN = re.compile(f"[0-9A-Fa-f]{{{MIN_RUN},}}")
_HEX_PAIRS = re.compile(
    r"(?:0x)?[0-9A-Fa-f]{2}(?:[\s,:;-]{1,3}(?:0x)?[0-9A-Fa-f]{2}){3,}(?![0-9A-Za-z])|0x[0-9A-Fa-f]{4,}"
)
_PERCENT = re.compile("%[0-9A-Fa-f]{2}(?:%[0-9A-Fa-f]{2})*")
_BACKSLASH = re.compile(
    r"\\(?:x[0-9A-Fa-f]{2}(?:\\x[0-9A-Fa-f]{2})*|[0-3][0-7]{2}(?:\\[0-3][0-7]{2})*"
    r"|u\{?(?P<unit>[0-9A-Fa-f]{4,6})\}?|U(?P<long>[0-9A-Fa-f]{8}))"
)
_ENTITY = re.compile(r"&#(?:[xX](?P<hex>[0-9A-Fa-f]{1,6})|(?P<decimal>[0-9]{1,7}));?")
_TAGS = re.compile("[\U000e0020-\U000e007e]+")
_SELECTORS = re.compile("[\ufe00-\ufe0f\U000e0100-\U000e01ef]{4,}")  # bytes written as variation selectors
_PRINTABLE = bytes([9, 10, 13, *range(0x20, 0x7F)])
_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ufffd]")
_NOT_HEX = re.compile("0x|[^0-9A-Fa-f]")
_URL_SAFE = bytes.maketrans(b"-_", b"+/")
_MOSTLY = 8  # at most one character in this many may be unprintable


def suspicious(text: str) -> bool:
    """Whether anything in the text might be encoded. False for nearly all prose, at a few nanoseconds per character."""
    return bool(_kinds(text))


def decode(text: str) -> tuple[str, str] | None:
    """One round: the text with all encoded runs decoded in place and the joined names of the encodings, or None if there are none."""
    used: list[str] = []
    for kind in _kinds(text):
        decoded = _DECODERS[kind](text)
        if decoded != text:
            text = decoded
            used.append(kind)
    return (text, "+".join(used)) if used else None


def readable(data: bytes) -> str | None:
    """The text in some bytes if they are mostly printable, else None. UTF-8, or UTF-16 of Latin letters (every other byte zero)."""
    if data.count(0) * 3 >= len(data):
        data = data.replace(b"\0", b"")
    if not data:
        return None
    if data.isascii():
        bad, text = len(data.translate(None, _PRINTABLE)), data.decode("ascii")
    else:
        text = data.decode("utf-8", "replace")
        bad = len(_CONTROL.findall(text))
    return text if bad * _MOSTLY <= len(text) else None


def _kinds(text: str) -> list[str]:
    """The encodings that are worth looking for, in the order in which they are undone."""
    kinds = [] if text.isascii() or not (_TAGS.search(text) or _SELECTORS.search(text)) else ["hidden"]
    if "%" in text or "\\" in text or "&#" in text:
        kinds.append("escapes")
    data = text.encode("ascii", "replace")
    classes = data.translate(_HEX_CLASSES)
    if any(shape in classes for shape in _SPACED_HEX):
        kinds.append("hex")
    if _RUN in data.translate(_RUN_CLASSES):
        kinds.append("base64")
    return kinds


def _hidden(text: str) -> str:
    shown = _TAGS.sub(lambda run: "".join(chr(ord(character) - 0xE0000) for character in run.group()), text)
    return _SELECTORS.sub(lambda run: readable(bytes(map(_selector, run.group()))) or run.group(), shown)


def _selector(character: str) -> int:
    code = ord(character)
    return code - 0xFE00 if code < 0xE0100 else code - 0xE0100 + 16


def _escapes(text: str) -> str:
    if "&#" in text:
        text = _ENTITY.sub(_code_point, text)
    if "\\" in text:
        text = _BACKSLASH.sub(_backslash, text)
    return _PERCENT.sub(lambda run: bytes.fromhex(run.group().replace("%", "")).decode("utf-8", "replace"), text)


def _backslash(found: re.Match[str]) -> str:
    if found.lastgroup is not None:
        return _code_point(found)
    units = found.group().split("\\")[1:]
    return bytes(int(unit[1:], 16) if unit[0] == "x" else int(unit, 8) for unit in units).decode("utf-8", "replace")


def _code_point(found: re.Match[str]) -> str:
    kind = str(found.lastgroup)
    code = int(found.group(kind), 10 if kind == "decimal" else 16)
    valid = code < 0x110000 and not 0xD800 <= code < 0xE000
    return chr(code) if valid else found.group()


def _hex_pairs(text: str) -> str:
    return _HEX_PAIRS.sub(_hex, text)


def _hex(found: re.Match[str]) -> str:
    digits = _NOT_HEX.sub("", found.group())
    for skip in (0, 1):  # a digit in front shifts the pairs
        body = digits[skip:]
        decoded = readable(bytes.fromhex(body[: len(body) & ~1]))
        if decoded is not None:
            return decoded
    return found.group()


def _runs(text: str) -> str:
    return "".join(_undo_runs(text))


def _undo_runs(text: str) -> Iterator[str]:
    """The text in pieces, its long runs decoded. ``find`` jumps from run to run, so the words between cost nothing."""
    classes = text.encode("ascii", "replace").translate(_RUN_CLASSES)
    end = 0
    while (start := classes.find(_RUN, end)) >= 0:
        yield text[end:start]
        end = classes.find(b" ", start)
        end = len(text) if end < 0 else end
        run = text[start:end]
        undone = _undo_run(run)
        yield undone
        if undone != run:
            end += text[end : end + 2].count("=")
    yield text[end:]


def _undo_run(run: str) -> str:
    """Hex first: its digits are base64 letters too. Several lines are read as one, then without the last (it may be prose), then each."""
    plain = _HEX_RUN.sub(_hex, run)
    if plain != run:
        return plain
    lines = run.split("\n")
    whole = _base64("".join(lines))
    if whole is not None or len(lines) == 1:
        return whole if whole is not None else run
    most = _base64("".join(lines[:-1]))
    if most is not None:
        return f"{most}\n{lines[-1]}"
    return "\n".join(_base64(line) or line for line in lines)


def _base64(run: str) -> str | None:
    """Both alphabets, with or without padding, and from each of four alignments, since a letter in front shifts the rest."""
    if len(run) < MIN_RUN or run == run.lower():  # text in base64 has capitals; most long names in code have none
        return None
    body = run.encode("ascii").translate(_URL_SAFE, b"\r")
    for skip in range(4):
        part = body[skip:]
        part = part[: len(part) - (len(part) % 4 == 1)]
        decoded = readable(binascii.a2b_base64(part + b"=" * (-len(part) % 4)))
        if decoded is not None:
            return decoded
    return None


_DECODERS: dict[str, Callable[[str], str]] = {
    "hidden": _hidden,
    "escapes": _escapes,
    "hex": _hex_pairs,
    "base64": _runs,
}
