"""Following one channel of an answer with compiled rules: what has been matched, and how far the text may be released.

Held back is only what a match could still begin in: the part of a literal that the text ends with, the longest span of the patterns, and
an open run that looks encoded. Nothing that belongs to a match is ever cleared, wherever the stream is cut.
"""

from __future__ import annotations

from collections.abc import Sequence

from gateway.controls.matching import Matcher, StreamRules, live
from gateway.exchange import Direction
from gateway.terms import Rule
from gateway.text.incremental import Normaliser
from gateway.text.runs import Runs
from gateway.text.skeleton import ASCII_SKELETON, ascii_skeleton, skeleton
from gateway.text.views import views


class Follower:
    """Judges one channel. ``start`` is the offset of the first text; ``now`` decides which rules have expired."""

    def __init__(self, matchers: Sequence[Matcher], start: int, now: int) -> None:
        self._matchers = [matcher for matcher in matchers if matcher.stream.any]
        self._now = now
        self._start = self._seen = start
        self.cleared = start
        self._begun = False

    def feed(self, text: str, *, final: bool) -> Rule | None:
        """The rule that the answer matches with this text, if any; ``cleared`` then stays where it was."""
        start, self._seen = self._seen, self._seen + len(text)
        if not self._matchers:
            self.cleared = self._seen
            return None
        found = self._whole(text) if final and start == self._start else self._step(text, start, final=final)
        rule = live(found, Direction.OUTPUT, self._now) if found else None
        if rule is None:
            self.cleared = self._seen if final else max(self.cleared, self._frontier())
        return rule

    def _whole(self, text: str) -> list[Rule]:
        """A text that comes in one piece needs no following."""
        return [rule for matcher in self._matchers for view in views(text) for rule in matcher.in_text(view.text)]

    def _begin(self) -> None:
        """There will be more than one piece: make what follows them."""
        self._begun = True
        self._runs = Runs(self._start)
        self._literals = [_Literals(matcher.stream) for matcher in self._matchers if matcher.stream.long]
        self._normal = [
            _Normal(matcher.stream) for matcher in self._matchers if matcher.stream.short or matcher.stream.patterns
        ]
        self._normaliser = Normaliser(self._start) if self._normal else None

    def _step(self, text: str, start: int, *, final: bool) -> list[Rule]:
        if not self._begun:
            self._begin()
        found: list[Rule] = []
        if self._literals:
            bones = AsciiBones(text, start) if text.isascii() else Bones(text, start)
            for literals in self._literals:
                found += literals.feed(bones)
        if self._normaliser is not None:
            settled = self._normaliser.feed(text) + (self._normaliser.flush() if final else "")
            for normals in self._normal:
                found += normals.feed(settled, ended=final)
        for region in self._runs.feed(text) + (self._runs.flush() if final else []):
            found += self._decoded(region)
        return found

    def _decoded(self, region: str) -> list[Rule]:
        """Rules that match what a finished run means; the run itself has been followed already."""
        return [rule for matcher in self._matchers for view in views(region)[1:] for rule in matcher.in_text(view.text)]

    def _frontier(self) -> int:
        """Every character before it is part of no match, past or to come."""
        frontier = min(self._seen, self._runs.held)
        for literals in self._literals:
            frontier = min(frontier, literals.open_from(self._seen))
        if self._normaliser is not None:
            oldest = min(normals.open_from(self._normaliser.emitted) for normals in self._normal)
            self._normaliser.forget(oldest)
            frontier = min(frontier, self._normaliser.original(oldest))
        return frontier


class _Literals:
    """Long literals in the skeleton of a stream."""

    def __init__(self, rules: StreamRules) -> None:
        assert rules.long is not None
        self._automaton, self._rules = rules.long, rules.long_rules
        self._state = 0
        self._offsets: list[int] = []  # original offsets of the last skeleton characters, as many as the state is deep

    def feed(self, bones: Bones) -> list[Rule]:
        hits: list[int] = []
        self._state = self._automaton.advance(self._state, bones.text, hits)
        depth = self._automaton.depth[self._state]
        older = depth - len(bones.text)  # of the characters that the state stands for, those of earlier texts
        kept = self._offsets[-older:] if older > 0 else []
        self._offsets = kept + bones.offsets(min(depth, len(bones.text))) if depth else kept
        return [rule for index in hits for rule in self._rules[index]]

    def open_from(self, seen: int) -> int:
        """The original offset at which a literal may have begun."""
        return self._offsets[0] if self._offsets else seen


class _Normal:
    """Short literals and patterns in the normal form of a stream."""

    def __init__(self, rules: StreamRules) -> None:
        self._rules = rules
        self._state = 0
        self._window = (
            ""  # the end of the normal text that a pattern match may begin in, after one character of context
        )
        self._context = 0

    def feed(self, settled: str, *, ended: bool) -> list[Rule]:
        found: list[Rule] = []
        if self._rules.short is not None:
            hits: list[int] = []
            self._state = self._rules.short.advance(self._state, settled, hits)
            found += [rule for index in hits for rule in self._rules.short_rules[index]]
        if self._rules.patterns is not None:
            window = self._window + settled
            hits = self._rules.patterns.hits_within(window, self._context, ended=ended)
            found += [rule for index in hits for rule in self._rules.pattern_rules[index]]
            self._window = window[-self._rules.patterns.span :]
            self._context = int(len(window) >= self._rules.patterns.span)
        return found

    def open_from(self, emitted: int) -> int:
        """The normal offset at which a match may have begun."""
        oldest = emitted
        if self._rules.short is not None:
            oldest -= self._rules.short.depth[self._state]
        if self._rules.patterns is not None:
            oldest = min(oldest, emitted - self._rules.patterns.span + 1)
        return max(oldest, 0)


class Bones:
    """The skeleton of a text, and where in the original its characters stand."""

    text: str | bytes

    def __init__(self, text: str, start: int) -> None:
        letters: list[str] = []
        self._offsets: list[int] = []
        folds = {character: skeleton(character) for character in set(text)}
        for offset, character in enumerate(text, start):
            folded = folds[character]
            if folded:
                letters.append(folded)
                self._offsets += [offset] * len(folded)
        self.text = "".join(letters)

    def offsets(self, count: int) -> list[int]:
        """The original offsets of the last ``count`` characters, which must be there."""
        return self._offsets[len(self._offsets) - count :]


class AsciiBones(Bones):
    """The same for ASCII: one character for one or none, and offsets only as far as somebody asks."""

    def __init__(self, text: str, start: int) -> None:
        self.text = ascii_skeleton(text)
        self._source, self._start = text, start

    def offsets(self, count: int) -> list[int]:
        found: list[int] = []
        at = len(self._source)
        while len(found) < count:
            at -= 1
            if ASCII_SKELETON[ord(self._source[at])]:
                found.append(self._start + at)
        found.reverse()
        return found
