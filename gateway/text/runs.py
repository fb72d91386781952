"""Following a stream for runs that look encoded: held from their first character to their end, then handed over to be decoded.

A *token* is a run of characters that encoders use (letters, digits, ``+/=_-%\\\\&#;``). Every token is held until it ends, which in prose
is a word. A *region* is what may belong together: a long token with the lines that follow it directly, or pairs of hex digits with
separators between them. A region longer than ``MAX_REGION`` holds all that follows until the end of the text.
"""

from __future__ import annotations

import re
from enum import Enum

from gateway.text.decode import MIN_RUN

MAX_REGION = 4096  # characters
_MIN_PAIRS = 4
_MIN_LINE = 4
# Full-width forms, zero-width characters, selectors and tags stand inside tokens too, since decoding undoes them.
_INSIDE = r"A-Za-z0-9+/=_%\\&#;\-\u00ad\u200b-\u200f\u2060-\u206f\ufe00-\ufe0f\ufeff\uff01-\uff5e\U000e0000-\U000e0fff"
_PARTS = re.compile(f"([{_INSIDE}]+)|[^{_INSIDE}]+")
# Words that are surely prose, with what separates them, up to a token that is still being written. Nothing is tried twice.
_WORD = rf"(?![0-9A-Fa-f]{{2}}(?![{_INSIDE}]))[A-Za-z][a-z\-]{{0,{MIN_RUN - 2}}}+"
_PROSE = re.compile(rf"(?:(?:{_WORD})?[^{_INSIDE}]++)*+([{_INSIDE}]*+)")
_PAIR = re.compile(r"(?:0x)?[0-9A-Fa-f]{2}")
_ESCAPED = re.compile(r"[%\\&]|[^\x00-\x7f]")
_BETWEEN_PAIRS = re.compile(r"[\s,:]{1,3}")
_BETWEEN_LINES = re.compile(r"[ \t]*\r?\n[ \t]*")
_MAYBE_LINES = re.compile(r"[ \t]*\r?(?:\n[ \t]*)?")


class _Kind(Enum):
    """What a token or a region looks like."""

    PROSE = 0
    PAIRS = 1
    LONG = 2


class Runs:
    """``feed`` and ``flush`` return the regions that ended. ``held`` is the original offset from which on text must be held.

    Work is linear in what is fed; memory is bounded by ``MAX_REGION`` until a region exceeds it, then by the text itself.
    """

    def __init__(self, start: int = 0) -> None:
        self._seen = start
        self.held = start
        self._whole = False
        self._region: list[str] = []  # all text from ``held`` to the end of the last closed token
        self._kind = _Kind.PROSE
        self._pairs = 0
        self._separator = ""  # after the region, while the region may still go on
        self._token: list[str] = []

    def feed(self, chunk: str) -> list[str]:
        """Regions that this chunk ended, as they were written."""
        if self._kind is _Kind.PROSE and not self._whole and self._feed_prose(chunk):
            return []
        ended: list[str] = []
        if self._whole:
            self._token.append(chunk)
            return ended
        for part in _PARTS.finditer(chunk):
            if part.group(1):
                self._token.append(part.group())
            else:
                self._close_token(ended)
                self._separate(part.group(), ended)
            self._seen += part.end() - part.start()
            if not self._token and self._kind is _Kind.PROSE:
                self.held = self._seen
        self._whole = self._seen - self.held > MAX_REGION
        return ended

    def _feed_prose(self, chunk: str) -> bool:
        """The common case: words between words, nothing to hand over. False, and nothing done, for all else."""
        begun = "".join(self._token)
        prose = _PROSE.fullmatch(begun + chunk) if len(begun) < MIN_RUN else None
        if prose is None:
            return False
        token = prose.group(1)
        self._token = [token] if token else []
        self._seen += len(chunk)
        self.held = self._seen - len(token)
        self._whole = len(token) > MAX_REGION
        return True

    def flush(self) -> list[str]:
        """The region that the end of the text ends, if any."""
        ended: list[str] = []
        if self._whole:
            return ["".join((*self._region, self._separator, *self._token))]
        self._close_token(ended)
        self._end_region(ended)
        self.held = self._seen
        return ended

    def _separate(self, separator: str, ended: list[str]) -> None:
        """Keep the region open as long as the separator allows it to go on."""
        if self._kind is _Kind.PROSE:
            return
        self._separator += separator
        between = _BETWEEN_PAIRS if self._kind is _Kind.PAIRS else _MAYBE_LINES
        if not between.fullmatch(self._separator):
            self._end_region(ended)

    def _close_token(self, ended: list[str]) -> None:
        if not self._token:
            return
        token = "".join(self._token)
        self._token = []
        kind = _classify(token)
        if not self._continues(kind):
            start = self._seen - len(token)
            self._end_region(ended)
            self.held = start
            self._kind = kind
        if self._kind is not _Kind.PROSE:
            self._region += (self._separator, token)
            self._pairs += 1
        self._separator = ""

    def _continues(self, kind: _Kind) -> bool:
        """Whether a token belongs to the open region. The last line of a long one may be short."""
        if self._kind is _Kind.LONG:
            return _BETWEEN_LINES.fullmatch(self._separator) is not None
        return kind is self._kind

    def _end_region(self, ended: list[str]) -> None:
        if self._kind is _Kind.LONG or self._pairs >= _MIN_PAIRS:
            ended.append("".join(self._region))
        self._region, self._separator, self._pairs, self._kind = [], "", 0, _Kind.PROSE


def _classify(token: str) -> _Kind:
    if _PAIR.fullmatch(token):
        return _Kind.PAIRS
    return _Kind.LONG if len(token) >= MIN_RUN or _ESCAPED.search(token) or _mixed(token) else _Kind.PROSE


def _mixed(token: str) -> bool:
    """Whether a short token may be the first of many short lines of base64: capitals inside, or digits among letters."""
    if len(token) < _MIN_LINE or token.isupper() or token.isdecimal():
        return False
    inside = token[1:]
    return inside != inside.lower() or (token.isalnum() and not token.isalpha())
