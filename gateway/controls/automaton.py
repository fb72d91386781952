"""Many literals followed through a stream, one character at a time (Aho and Corasick, 1975).

The state of the automaton is the longest suffix of the text that some literal begins with. Its length is exactly how much must be held
back: no match can begin before it. A step costs the same however many literals there are and however long the text is.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence

_NO_LITERAL = -1
_SHIFT = 21  # bits of a code point


class Automaton:
    """Immutable after construction. States are integers, 0 is the start; ``depth[state]`` is the length of what a state stands for.

    ``literals`` are distinct and not empty.
    """

    def __init__(self, literals: Sequence[str]) -> None:
        self._goto: dict[
            int, int
        ] = {}  # (state, code point) packed into one integer: a fraction of the memory of nested mappings
        self.depth = array("l", [0])
        self._ends = array("l", [_NO_LITERAL])  # the literal that ends exactly here
        self._fail = array("l", [0])  # the longest proper suffix that is a state too
        for index, literal in enumerate(literals):
            self._insert(index, literal)
        self._hit = bytearray(len(self.depth))  # whether a literal ends in a state or in one of its suffixes
        self._link()

    def advance(self, state: int, text: str | bytes, hits: list[int]) -> int:
        """The state after some more characters (bytes: ASCII ones); appends the index of every literal that ends within them."""
        goto, fail, hit = self._goto, self._fail, self._hit
        for code in text if isinstance(text, bytes) else map(ord, text):
            following = goto.get(state << _SHIFT | code)
            while following is None and state:
                state = fail[state]
                following = goto.get(state << _SHIFT | code)
            state = following or 0
            if hit[state]:
                self._collect(state, hits)
        return state

    def _collect(self, state: int, hits: list[int]) -> None:
        while state and self._hit[state]:
            if self._ends[state] != _NO_LITERAL:
                hits.append(self._ends[state])
            state = self._fail[state]

    def _insert(self, index: int, literal: str) -> None:
        state = 0
        for character in literal:
            key = state << _SHIFT | ord(character)
            following = self._goto.get(key)
            if following is None:
                following = self._goto[key] = len(self.depth)
                self.depth.append(self.depth[state] + 1)
                self._ends.append(_NO_LITERAL)
                self._fail.append(0)
            state = following
        self._ends[state] = index

    def _link(self) -> None:
        """Suffix links, shallow states first, since a link always leads to a shallower one."""
        for key, child in sorted(self._goto.items(), key=lambda item: self.depth[item[1]]):
            parent, code = key >> _SHIFT, key & ((1 << _SHIFT) - 1)
            link = self._fail[parent]
            while parent and link and link << _SHIFT | code not in self._goto:
                link = self._fail[link]
            if parent:
                self._fail[child] = self._goto.get(link << _SHIFT | code, 0)
            self._hit[child] = self._ends[child] != _NO_LITERAL or self._hit[self._fail[child]]
