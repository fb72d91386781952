"""What is sent to a guard's server and what comes back, as bytes: no I/O. One file beside this one for each API."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import msgspec

from classifiers.base import ClassifierInvalid

Shape = TypeVar("Shape")


@dataclass(frozen=True, slots=True)
class Call:
    """One request: a path and a JSON body."""

    path: str
    body: bytes


class Api(Protocol):
    """How one kind of server is asked about texts."""

    @property
    def batch(self) -> int:
        """The most texts in one go."""

    def calls(self, texts: Sequence[str]) -> tuple[Call, ...]:
        """The requests that together ask about the texts (between one and ``batch``)."""

    def read(self, replies: Sequence[bytes], texts: int) -> list[tuple[float, ...]]:
        """Scores of each text, one per category, from one reply per request. Raises ClassifierInvalid."""


def call(path: str, body: Mapping[str, Any]) -> Call:
    """A request."""
    return Call(path, msgspec.json.encode(body))


def decoded(reply: bytes, shape: type[Shape]) -> Shape:
    """A reply of a shape. Raises ClassifierInvalid; its message holds none of the reply."""
    try:
        return msgspec.json.decode(reply, type=shape)
    except msgspec.DecodeError as error:
        raise ClassifierInvalid(f"the guard's server answered in an unknown form ({len(reply)} bytes)") from error


def probability(value: float) -> float:
    """The value, if it is one. Raises ClassifierInvalid."""
    if not (math.isfinite(value) and 0.0 <= value <= 1.0):
        raise ClassifierInvalid("the guard's server gave a score that is no probability")
    return value
