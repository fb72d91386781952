"""Normalising a stream: the concatenated output equals ``normal`` of the whole text, wherever the stream is cut."""

from __future__ import annotations

from bisect import bisect_right

from gateway.text.normal import (
    ASCII_CONTROLS,
    ASCII_FOLD,
    CLUSTER,
    EXTENDING,
    IGNORABLE,
    MAX_CLUSTER,
    fold,
    folds_one_to_one,
    has_long_run,
)

_SHORT = 64  # characters; below it the shortcut for unchanged text costs more than it saves
_STALE = 32  # map entries that are kept beyond need before they are dropped together


class Normaliser:
    """Feeds chunks, returns their normal form, and translates normal offsets back to original ones.

    The last cluster (a character with its marks, at most ``MAX_CLUSTER`` characters) is held until the next one begins.
    Offsets count from ``start``, the original offset of the first chunk; normal offsets count from 0.
    """

    def __init__(self, start: int = 0) -> None:
        self._seen = start
        self._held = ""
        self._held_at: list[int] = []
        self._blank = False  # whether the output ends with a blank
        self._at = [0]  # normal offsets at which the distance to the original changes ...
        self._to = [start]  # ... and the original offsets that belong to them
        self.emitted = 0  # normal characters so far

    def feed(self, chunk: str) -> str:
        """The normal characters that this chunk settles. Linear in the chunk."""
        start = self._seen
        self._seen += len(chunk)
        if chunk.isascii() and self._joins(start):
            folded = chunk.encode("ascii").translate(ASCII_FOLD, ASCII_CONTROLS)
            if len(folded) == len(chunk):
                return self._feed_plain(chunk, folded.decode("ascii"), start)
        self._absorb(chunk, start)
        return self._settle(self._complete())

    def flush(self) -> str:
        """The rest. Nothing may be fed afterwards."""
        return self._settle(len(self._held))

    def original(self, position: int) -> int:
        """The largest original offset such that all text before it lies, normalised, before normal offset ``position``."""
        if position >= self.emitted:
            return self._held_at[0] if self._held_at else self._seen
        index = bisect_right(self._at, position) - 1
        return self._to[index] + position - self._at[index]

    def forget(self, position: int) -> None:
        """Normal offsets below ``position`` will not be asked for again."""
        stale = bisect_right(self._at, position) - 1
        if stale > _STALE:
            del self._at[:stale]
            del self._to[:stale]

    def _joins(self, start: int) -> bool:
        """Whether the held text is at most one ASCII character directly before ``start``."""
        return not self._held or (len(self._held) == 1 and self._held.isascii() and self._held_at[0] == start - 1)

    def _feed_plain(self, chunk: str, folded: str, start: int) -> str:
        """The common case: ASCII after ASCII, every character for itself."""
        if not chunk:
            return ""
        before = chr(ASCII_FOLD[ord(self._held)]) if self._held else ""  # ``_joins``: one ASCII character, or none
        settled = before + folded[:-1]
        first = start - len(self._held)
        self._held, self._held_at = chunk[-1], [self._seen - 1]
        return self._emit_run(settled, first)

    def _absorb(self, chunk: str, start: int) -> None:
        position = 0
        for gap in IGNORABLE.finditer(chunk):
            self._held_at.extend(range(start + position, start + gap.start()))
            self._held += chunk[position : gap.start()]
            position = gap.end()
        self._held_at.extend(range(start + position, start + len(chunk)))
        self._held += chunk[position:]

    def _complete(self) -> int:
        """How much of the held text no later character can change."""
        if len(self._held) > _SHORT and not has_long_run(self._held):
            end = len(self._held) - 1
            while end and EXTENDING.match(self._held, end):
                end -= 1
            return end
        end = 0
        for cluster in CLUSTER.finditer(self._held):
            full = cluster.end() - cluster.start() == MAX_CLUSTER
            end = cluster.end() if full else cluster.start()
        return end

    def _settle(self, end: int) -> str:
        """Emit the first ``end`` held characters, which end at a cluster boundary."""
        text, offsets = self._held[:end], self._held_at[:end]
        self._held, self._held_at = self._held[end:], self._held_at[end:]
        if end > _SHORT and offsets[-1] - offsets[0] == end - 1 and folds_one_to_one(text):
            return self._emit_run(fold(text), offsets[0])
        out: list[str] = []
        for cluster in CLUSTER.finditer(text):
            self._emit_cluster(fold(cluster.group()), offsets[cluster.start()], out)
        return "".join(out)

    def _emit_run(self, folded: str, first: int) -> str:
        """Emit characters that stand one for one, from original offset ``first`` on."""
        if not folded:
            return ""
        if "  " in folded or (self._blank and folded[0] == " "):
            out: list[str] = []
            for offset, character in enumerate(folded, first):
                self._emit_cluster(character, offset, out)
            return "".join(out)
        self._pin(first)
        self.emitted += len(folded)
        self._blank = folded[-1] == " "
        return folded

    def _emit_cluster(self, folded: str, offset: int, out: list[str]) -> None:
        for character in folded:
            blank = character == " "
            if not (blank and self._blank):
                self._pin(offset)
                out.append(character)
                self.emitted += 1
            self._blank = blank

    def _pin(self, offset: int) -> None:
        """The next normal character comes from ``offset``; recorded only when the distance changes."""
        if offset - self.emitted != self._to[-1] - self._at[-1]:
            self._at.append(self.emitted)
            self._to.append(offset)
