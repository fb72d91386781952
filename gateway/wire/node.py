"""One place in a client's body: its value, its path, and where the leaves found there go.

A node hands out values only through checks, so what a dialect puts into the vetted tree is a screened leaf, an enumerated
value, a pattern-checked id, a number in its range, a flag, or null.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from gateway.errors import BadRequest, TooLarge
from gateway.exchange import Channel, Feature, Leaf, Origin, Role, Use

_BASE64 = re.compile(r"[A-Za-z0-9+/]*={0,2}")


@dataclass(slots=True)
class Found:
    """What one parse has found so far."""

    limit: int
    leaves: list[Leaf] = field(default_factory=list)
    uses: list[Use] = field(default_factory=list)
    dropped: list[str] = field(default_factory=list)  # names of keys inside messages that are left out, each once

    def add(self, leaf: Leaf) -> None:
        """Raises TooLarge beyond the limit."""
        if len(self.leaves) >= self.limit:
            raise self.too_many(leaf.path)
        self.leaves.append(leaf)

    def too_many(self, path: str) -> TooLarge:
        """The error of one text more than the limit."""
        return TooLarge(f"the request has more than {self.limit} texts", param=path)


@dataclass(slots=True, eq=False)
class Node:
    """A value of the body at its path. All methods raise BadRequest naming the path.

    Not frozen, since a body has thousands of nodes and a frozen one costs three times as much; nobody changes one.
    """

    value: Any
    path: str
    found: Found

    def fault(self, what: str) -> BadRequest:
        """The error of this place; it never quotes a value."""
        return BadRequest(f"{self.path}: {what}", param=self.path)

    def object(self) -> Node:
        """This node, which must be an object."""
        if not isinstance(self.value, dict):
            raise self._no_object()
        return self

    def few(self, most: int) -> None:
        """An object with at most so many keys, known or not. Raises TooLarge."""
        if len(self.object().value) > most:
            raise TooLarge(f"the body has more than {most} fields", code="too_many_fields")

    def only(self, *names: str) -> Node:
        """This node, which must be an object without other keys than these."""
        for name in self.object().value:
            if name not in names:
                raise self._at(plain(name)).fault("this field is not supported")
        return self

    def has(self, name: str) -> bool:
        """True when the object has the key, null or not."""
        return name in self.object().value

    def given(self, name: str) -> bool:
        """True when the object has the key with another value than null."""
        return self.object().value.get(name) is not None

    def get(self, name: str) -> Any:
        """The raw value of a key, only to be compared; None where it is absent."""
        return self.object().value.get(name)

    def member(self, name: str) -> Node:
        """The node of a key; a missing one is a fault."""
        value = self.value
        if not isinstance(value, dict):
            raise self._no_object()
        if name not in value:
            raise self._at(name).fault("this field is required")
        return Node(value[name], f"{self.path}.{name}" if self.path else name, self.found)

    def items(self, wanted: str = "a list") -> list[Node]:
        """The nodes of a list."""
        if not isinstance(self.value, list):
            raise self.fault(f"must be {wanted}")
        path, found = self.path, self.found
        return [Node(item, f"{path}[{place}]", found) for place, item in enumerate(self.value)]

    def string(self) -> str:
        """A string, only to be compared."""
        if not isinstance(self.value, str):
            raise self.fault("must be a string")
        return self.value

    def choice(self, *values: str, fault: str = "") -> str:
        """One of the enumerated values."""
        value = self.string()
        if value not in values:
            raise self.fault(fault or f"must be one of {', '.join(values)}")
        return value

    def match(self, pattern: re.Pattern[str], name: str) -> str:
        """A string of a pattern that leaves no room for words."""
        if pattern.fullmatch(self.string()) is None:
            raise self.fault(f"is not {name}")
        return self.string()

    def base64(self, text: str | None = None) -> str:
        """Bytes in padded base64, at least one: the value, or the part of it that is handed in."""
        data = self.string() if text is None else text
        if not data or len(data) % 4 or _BASE64.fullmatch(data) is None:
            raise self.fault("is not base64")
        return data

    def flag(self) -> bool:
        """True or false."""
        if not isinstance(self.value, bool):
            raise self.fault("must be true or false")
        return self.value

    def integer(self, low: int, high: int = 2**31 - 1) -> int:
        """A whole number from ``low`` to ``high``."""
        if not isinstance(self.value, int) or isinstance(self.value, bool) or not low <= self.value <= high:
            raise self.fault(f"must be an integer from {low} to {high}")
        return self.value

    def number(self, low: float, high: float) -> float:
        """A number from ``low`` to ``high``."""
        if not isinstance(self.value, int | float) or isinstance(self.value, bool) or not low <= self.value <= high:
            raise self.fault(f"must be a number from {low:g} to {high:g}")
        return self.value

    def leaf(self, role: Role, channel: Channel, origin: Origin, *, new: bool) -> str:
        """A string that is screened."""
        text = self.string()
        self.found.add(Leaf(self.path, text, role, channel, origin, new))
        return text

    def use(self, feature: Feature) -> None:
        """Report a feature that a profile may refuse."""
        self.found.uses.append(Use(feature, self.path))

    def drop(self, name: str) -> None:
        """Leave a key of this object out, and say so where it held something."""
        if self.given(name) and name not in self.found.dropped:
            self.found.dropped.append(name)

    def _no_object(self) -> BadRequest:
        return self.fault("must be an object")

    def _at(self, name: str) -> Node:
        """The node of a key that the dialect names."""
        return Node(self.value.get(name), f"{self.path}.{name}" if self.path else name, self.found)


def plain(name: str) -> str:
    """A client's key as it may stand in a path: itself where it is a plain word, else ``*``, for paths get into logs."""
    if name.isascii() and len(name) <= 64 and name.replace("-", "_").isidentifier():
        return name
    return "*"
