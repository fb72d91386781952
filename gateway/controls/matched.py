"""What the rule-driven controls share: rule sets compiled once, requests judged in all views, answers followed channel by channel."""

from __future__ import annotations

import asyncio
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence

from gateway.controls.base import AnswerJudge, Context, Judgement
from gateway.controls.benign import benign
from gateway.controls.following import Follower
from gateway.controls.matching import Matcher, live
from gateway.exchange import ChannelKey, Direction, Exchange, Leaf, Piece
from gateway.terms import Rule, RuleSet, Terms
from gateway.text.decode import suspicious
from gateway.text.views import joined_views, views
from gateway.verdict import Outcome, Reason, Verdict, allow

_INLINE = 16 << 10  # characters of plain text judged on the event loop: a third of a millisecond
_INLINE_COSTLY = 2 << 10  # the same for text that is not ASCII or looks encoded, which takes ten times as long and more
_INLINE_TEXTS = 256  # texts looked at on the event loop, however short: looking costs up to a microsecond for each
_INLINE_STEP = (
    2 << 10
)  # characters of one step of an answer, whatever they are: following costs up to a microsecond for each
_CACHED = 8  # compiled rule sets kept: those of the newest snapshots, and of exchanges that began under older ones


class MatchingControl:
    """A control that blocks what its rule sets match. ``sets`` picks them from the terms in force; none at all is an allow.

    ``prepare`` compiles ahead of a new snapshot; what is not prepared is compiled in a thread when first needed.
    """

    directions = frozenset(Direction)
    inline = True

    def __init__(self, control_id: str, reason: Reason, sets: Callable[[Terms], Iterable[RuleSet]]) -> None:
        self.id = control_id
        self._reason = reason
        self._sets = sets
        self._compiled: OrderedDict[str, Matcher] = OrderedDict()
        self._lock = threading.Lock()
        self._newest: tuple[Terms, tuple[Matcher, ...]] | None = None  # of the terms that were asked for last

    def prepare(self, rule_set: RuleSet) -> Matcher:
        """Compile a rule set, or find it compiled. Safe in any thread, and not for the event loop: it may take 100 ms. Raises RuleError."""
        known = self._known(rule_set.digest)
        if known is not None:
            return known
        matcher = Matcher(rule_set)
        matcher.in_text("\n".join(benign()))  # RE2 builds its states as it meets text: ten times slower the first time
        with self._lock:
            self._compiled[rule_set.digest] = matcher
            while len(self._compiled) > _CACHED:
                self._compiled.popitem(last=False)
        return matcher

    async def judge_input(self, exchange: Exchange, context: Context) -> Verdict:
        """Block when a rule matches a view of any leaf, or of leaves joined; ``detail`` is the rule and the leaf."""
        matchers = await self.matchers(context.terms)
        if not matchers:
            return allow(self.id)
        if costly([leaf.text for leaf in exchange.leaves]):
            found = await asyncio.to_thread(find, matchers, exchange.leaves, context.now)
        else:
            found = find(matchers, exchange.leaves, context.now)
        return allow(self.id) if found is None else self.block(*found)

    def open_answer(self, exchange: Exchange, context: Context) -> AnswerJudge:
        """A judge that follows every channel of the answer."""
        return _MatchingJudge(self, context)

    async def healthy(self) -> bool:
        """Nothing to lose but memory: always."""
        return True

    async def matchers(self, terms: Terms) -> tuple[Matcher, ...]:
        """The compiled rule sets of some terms, in a fixed order. Raises RuleError."""
        newest = self._newest
        if newest is not None and newest[0] is terms:
            return newest[1]
        found: list[Matcher] = []
        for rule_set in sorted(self._sets(terms), key=lambda candidate: candidate.digest):
            if rule_set.rules:
                known = self._known(rule_set.digest)
                found.append(await asyncio.to_thread(self.prepare, rule_set) if known is None else known)
        self._newest = (terms, tuple(found))
        return self._newest[1]

    def block(self, rule: Rule, path: str) -> Verdict:
        """The verdict for a match of a rule at a leaf or channel."""
        return Verdict(Outcome.BLOCK, self.id, self._reason, category=rule.category, detail=f"{rule.id} at {path}")

    def _known(self, digest: str) -> Matcher | None:
        with self._lock:
            if digest not in self._compiled:
                return None
            self._compiled.move_to_end(digest)
            return self._compiled[digest]


class _MatchingJudge:
    """Follows one answer. After a match it keeps saying so, and clears nothing more of any channel."""

    def __init__(self, control: MatchingControl, context: Context) -> None:
        self._control = control
        self._context = context
        self._matchers: tuple[Matcher, ...] | None = None
        self._followers: dict[ChannelKey, Follower] = {}
        self._blocked: Verdict | None = None
        self._clear = allow(control.id)

    async def step(self, pieces: tuple[Piece, ...]) -> tuple[Judgement, ...]:
        """Judge new text; a text too long for the event loop is judged in a thread."""
        if self._matchers is None:
            self._matchers = await self._control.matchers(self._context.terms)
        if self._matchers and sum([len(piece.text) for piece in pieces]) > _INLINE_STEP:
            await asyncio.to_thread(self._follow, self._matchers, pieces)
        else:
            self._follow(self._matchers, pieces)
        verdict = self._blocked or self._clear
        keys = [piece.key for piece in pieces]
        distinct = keys if len(keys) == 1 else dict.fromkeys(keys)
        return tuple([Judgement(key, self._followers[key].cleared, verdict) for key in distinct])

    def _follow(self, matchers: Sequence[Matcher], pieces: Iterable[Piece]) -> None:
        for piece in pieces:
            follower = self._followers.get(piece.key)
            if follower is None:
                follower = self._followers[piece.key] = Follower(matchers, piece.start, self._context.now)
            if self._blocked is None:
                rule = follower.feed(piece.text, final=piece.final)
                self._blocked = self._control.block(rule, piece.key.channel) if rule else None


def find(matchers: Sequence[Matcher], leaves: Sequence[Leaf], now: int) -> tuple[Rule, str] | None:
    """The first rule on requests that matches a view, and the path of the leaf to name; of joined leaves the last."""
    for leaf in leaves:
        for view in views(leaf.text):
            rule = _live(matchers, view.text, now, lossless=True)
            if rule is not None:
                return rule, leaf.path
    for reading in joined_views(leaves):
        rule = _live(matchers, reading.view.text, now, lossless=False)
        if rule is not None:
            return rule, reading.path
    return None


def costly(texts: Sequence[str]) -> bool:
    """Whether judging takes longer than the event loop may be held."""
    if len(texts) > _INLINE_TEXTS:
        return True
    total = sum(map(len, texts))
    if total <= _INLINE_COSTLY or total > _INLINE:
        return total > _INLINE
    return any(not text.isascii() or suspicious(text) for text in texts)


def _live(matchers: Sequence[Matcher], text: str, now: int, *, lossless: bool) -> Rule | None:
    found = (rule for matcher in matchers for rule in (matcher.in_text(text) if lossless else matcher.in_joined(text)))
    return live(found, Direction.INPUT, now)
