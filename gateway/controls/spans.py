"""The longest text that a pattern can match, in characters, read from the pattern itself.

The grammar is RE2's, less what makes no sense on normalised text (anchors, line breaks, bytes) or is rare in rules (classes by name in
brackets, ``\\Q``): those are refused, so that a width is never guessed. ``re2`` has compiled the pattern before it comes here.
"""

from __future__ import annotations

import math
import re

_REPEAT = re.compile(r"\{(\d+)(,)?(\d*)\}")
_GROUP = re.compile(r"\?(?:P?<\w+>|[imsU]*(?:-[imsU]+)?:)")
_FLAGS = re.compile(r"\?[imsU]+(?:-[imsU]+)?\)")
_UNICODE_CLASS = re.compile(r"[pP](?:\{\^?\w+\}|\w)")
_HEX_ESCAPE = re.compile(r"x(?:[0-9A-Fa-f]{2}|\{[0-9A-Fa-f]{1,6}\})")
_REFUSED = "AzQCnrtfv"  # anchors, quoting, bytes, and white space that normalising turns into blanks


class PatternNotSupported(ValueError):
    """The pattern uses something whose meaning on normalised text is none, or whose width is not known here."""


def longest_span(pattern: str) -> int | None:
    """The longest match in characters, or None if there is no bound. A word boundary counts as one: it looks at a neighbour.

    Raises PatternNotSupported.
    """
    width = _Reader(pattern).alternatives()
    return None if math.isinf(width) else int(width)


class _Reader:
    """A recursive descent over one pattern; each method reads a part and returns its greatest width."""

    def __init__(self, pattern: str) -> None:
        self._pattern = pattern
        self._at = 0

    def alternatives(self, depth: int = 0) -> float:
        """Everything up to the closing bracket, or to the end."""
        widest = self._sequence(depth)
        while self._take("|"):
            widest = max(widest, self._sequence(depth))
        if not depth and self._at < len(self._pattern):
            raise PatternNotSupported("unbalanced bracket")
        return widest

    def _sequence(self, depth: int) -> float:
        width = 0.0
        while self._at < len(self._pattern) and self._pattern[self._at] not in "|)":
            width += self._repeated(self._atom(depth))
        return width

    def _repeated(self, width: float) -> float:
        """The width with the quantifiers that follow. Nothing repeated without end is still nothing."""
        while self._at < len(self._pattern):
            counted = _REPEAT.match(self._pattern, self._at)
            if counted:
                self._at = counted.end()
                low, comma, high = counted.groups()
                times = float(high or (math.inf if comma else low))
            elif self._pattern[self._at] in "*+?":
                times = 1.0 if self._pattern[self._at] == "?" else math.inf
                self._at += 1
            else:
                break
            self._take("?")
            width = width * times if width and times else 0.0
        return width

    def _atom(self, depth: int) -> float:
        character = self._pattern[self._at]
        if character == "(":
            return self._group(depth)
        if character in "^$":
            raise PatternNotSupported("anchors have no meaning in the windows of an answer")
        self._at += 1
        if character == "[":
            self._bracket()
        elif character == "\\":
            self._escape(in_class=False)
        return 1

    def _group(self, depth: int) -> float:
        self._at += 1
        flags = _FLAGS.match(self._pattern, self._at)
        if flags:
            self._at = flags.end()
            return 0
        opened = _GROUP.match(self._pattern, self._at)
        if opened:
            self._at = opened.end()
        width = self.alternatives(depth + 1)
        if not self._take(")"):
            raise PatternNotSupported("unbalanced bracket")
        return width

    def _bracket(self) -> None:
        """A class in square brackets: one character wide."""
        self._take("^")
        first = True
        while first or self._pattern[self._at] != "]":
            first = False
            character = self._pattern[self._at]
            self._at += 1
            if character == "[" and self._pattern[self._at : self._at + 1] == ":":
                raise PatternNotSupported("write \\w, \\d or a range in place of a class by name")
            if character == "\\":
                self._escape(in_class=True)
        self._at += 1

    def _escape(self, *, in_class: bool) -> None:
        for shape in (_UNICODE_CLASS, _HEX_ESCAPE):
            found = shape.match(self._pattern, self._at)
            if found:
                self._at = found.end()
                return
        character = self._pattern[self._at]
        if character in _REFUSED and not in_class:
            raise PatternNotSupported(
                f"\\{character} never matches: in normalised text white space is one blank, and there are no lines"
            )
        if character.isdigit():
            raise PatternNotSupported("octal escapes are not read here; write \\x{..}")
        self._at += 1

    def _take(self, character: str) -> bool:
        if self._pattern[self._at : self._at + 1] != character:
            return False
        self._at += 1
        return True
