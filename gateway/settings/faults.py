"""Faults of a configuration: where, what, and what was probably meant. All of them are reported at once."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault. ``line`` and ``column`` count from 1; 0 where there is no place in a file (flags, environment)."""

    file: str
    line: int
    column: int
    key: str
    message: str
    suggestion: str = ""

    def __str__(self) -> str:
        """``file:line:column: key: message (did you mean ...?)``."""
        where = f"{self.file}:{self.line}:{self.column}" if self.line else self.file
        guess = f" (did you mean {self.suggestion!r}?)" if self.suggestion else ""
        return f"{where}: {self.key + ': ' if self.key else ''}{self.message}{guess}"


class ConfigInvalid(Exception):
    """The configuration cannot be used; ``faults`` lists everything that is wrong."""

    def __init__(self, faults: Iterable[Fault]) -> None:
        self.faults = tuple(faults)
        super().__init__("\n".join(map(str, self.faults)))


def closest(word: str, known: Iterable[str]) -> str:
    """The known word that was probably meant, or nothing."""
    return next(iter(difflib.get_close_matches(word, list(known), n=1)), "")
