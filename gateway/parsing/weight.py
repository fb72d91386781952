"""How much work a body is, told from its bytes alone and before anything is built from them.

Length does not say it: 256 KiB of one text parse in a millisecond, 256 KiB of small tools in forty (measured at 0.3 to 0.7 us for
each quote). Nor does it say how much memory the parsed form takes: ``[],`` is three bytes and sixty.
"""

from __future__ import annotations

import re

from gateway.errors import TooLarge

ALWAYS_INLINE_BYTES = 2 * 1024
INLINE_BYTES = 256 * 1024
INLINE_QUOTES = 1536
INLINE_ESCAPES = 8192
INLINE_VALUES = 8192
VALUES = 300_000  # beyond it a body is refused: three times the keys that a body may have

_STRINGS = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"', re.DOTALL)


def light(body: bytes) -> bool:
    """Whether parsing and serialising takes less than the event loop may be held."""
    if len(body) <= ALWAYS_INLINE_BYTES:
        return True
    if len(body) > INLINE_BYTES or body.count(b'"') > INLINE_QUOTES or body.count(b"\\") > INLINE_ESCAPES:
        return False
    return _marks(body) <= INLINE_VALUES or values(body) <= INLINE_VALUES


def values(body: bytes) -> int:
    """An upper bound on the values of a document: commas and opening brackets outside of its strings."""
    return _marks(_STRINGS.sub(b"", body))


def bounded(body: bytes) -> None:
    """Raises TooLarge where the parsed form would take far more memory than the bytes say."""
    if _marks(body) > VALUES and values(body) > VALUES:
        raise TooLarge(f"the body has more than {VALUES} values", code="too_many_values")


def _marks(body: bytes) -> int:
    return body.count(b",") + body.count(b"[") + body.count(b"{")
