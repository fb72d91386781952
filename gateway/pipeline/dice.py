"""Random ids for exchanges."""

from __future__ import annotations

import secrets


class Dice:
    """Random ids from the operating system, fetched for many exchanges at once: asking it costs more than an id is worth."""

    def __init__(self) -> None:
        self._left: list[str] = []

    def take(self) -> str:
        """Sixteen hexadecimal digits that nobody had before."""
        if not self._left:
            drawn = secrets.token_hex(8 * 512)
            self._left = [drawn[at : at + 16] for at in range(0, len(drawn), 16)]
        return self._left.pop()
