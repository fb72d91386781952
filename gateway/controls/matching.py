"""Rules compiled for matching; the only importer of google-re2.

Literals of at least ``LONG`` letters are looked for in skeletons (look-alikes folded, separators gone), which holds for every view, lossy
ones included. Shorter literals, and literals in other scripts than Latin, are looked for in the normal form of lossless views. Patterns
(RE2, without regard to case) match the normal form too: lower case, one blank for any white space.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import re2

from gateway.controls.automaton import Automaton
from gateway.controls.spans import PatternNotSupported, longest_span
from gateway.exchange import Direction
from gateway.terms import Rule, RuleSet
from gateway.text.normal import normal
from gateway.text.skeleton import skeleton

LONG = 10  # letters of a literal below which lossy views hit the innocent
MAX_SPAN = 512  # characters; an answer is held back by the longest span of its patterns
MAX_LITERAL = 512  # characters of one literal
MAX_LITERALS = 200_000  # characters of all literals of a rule set; about 130 bytes of memory each
MAX_PATTERNS = 500
_SET_MEMORY = 64 << 20
_PATTERN_MEMORY = 4 << 20


class RuleError(Exception):
    """A rule that cannot be compiled, or must not be. ``rule_id`` names it; the message never holds a text it would match."""

    def __init__(self, rule_id: str, message: str) -> None:
        super().__init__(f"rule {rule_id}: {message}")
        self.rule_id = rule_id
        self.message = message


class MatchingFailed(Exception):
    """The engine gave up (out of memory for its states). Never to be read as "no match"."""


class LiteralSet:
    """Many literals searched for at once in one text."""

    def __init__(self, literals: Sequence[str]) -> None:
        options = re2.Options()
        options.max_mem, options.log_errors = _SET_MEMORY, False
        self._set = re2.Set.SearchSet(options)
        for literal in literals:
            self._set.Add(re2.escape(literal))
        self._sentinel = self._set.Add(
            r"\z"
        )  # matches every text, so its absence shows that the engine failed: RE2 says so nowhere else
        self._set.Compile()

    def hits(self, text: str) -> list[int]:
        """The indices of the literals found, ascending. Raises MatchingFailed."""
        found = self._set.Match(text.encode("utf-8", "replace")) or []
        if self._sentinel not in found:
            raise MatchingFailed("RE2 ran out of memory")
        return sorted(index for index in found if index != self._sentinel)


class PatternSet:
    """Patterns, searched for one by one after RE2's prefilter has dropped those whose fixed parts are missing.

    One automaton over all of them would have too many states: gaps such as ``.{0,40}`` multiply (measured: 100 us per KiB and more).
    """

    def __init__(self, patterns: Sequence[str]) -> None:
        options = _pattern_options()
        self._filter = re2.Filter()
        for pattern in patterns:
            self._filter.Add(pattern, options)
        self._filter.Compile()
        self._each = [re2.compile(pattern, options) for pattern in patterns]
        self.span = max((longest_span(pattern) or 0 for pattern in patterns), default=0)

    def hits(self, text: str) -> list[int]:
        """The indices of the patterns that match a whole text, ascending."""
        return sorted(self._filter.Match(text.encode("utf-8", "replace")) or [])

    def hits_within(self, text: str, begin: int, *, ended: bool) -> list[int]:
        """As ``hits`` in a window that goes on unless ``ended``: matches begin at ``begin`` or later, and what stands before is context.

        A match that the next character could undo (a word boundary at the end of the window) does not count yet.
        """
        endings = ("",) if ended else (" ", "a")
        candidates = self.hits(text + endings[0])
        return [
            index
            for index in candidates
            if all(self._each[index].search(text + ending, begin) is not None for ending in endings)
        ]


class Matcher:
    """One compiled rule set. Immutable, and safe to share between threads. Raises RuleError on construction."""

    def __init__(self, rule_set: RuleSet) -> None:
        self.digest = rule_set.digest
        _check_size(rule_set.rules)
        for rule in rule_set.rules:
            check(rule)
        long, short, patterns = _sorted_out(rule_set.rules)
        self._long, self._long_rules = LiteralSet(tuple(long)), tuple(long.values())
        self._short, self._short_rules = LiteralSet(tuple(short)), tuple(short.values())
        self._patterns, self._pattern_rules = PatternSet(tuple(patterns)), tuple(patterns.values())
        self.stream = StreamRules(rule_set)

    def in_text(self, text: str) -> list[Rule]:
        """Rules that match a lossless view, expired ones and all directions included."""
        found = self.in_joined(text)
        if self._short_rules or self._pattern_rules:
            folded = normal(text)
            found += _rules(self._short_rules, self._short.hits(folded) if self._short_rules else ())
            found += _rules(self._pattern_rules, self._patterns.hits(folded) if self._pattern_rules else ())
        return found

    def in_joined(self, text: str) -> list[Rule]:
        """Rules that match a lossy or reassembled view: long literals only."""
        return _rules(self._long_rules, self._long.hits(skeleton(text))) if self._long_rules else []


class StreamRules:
    """The output rules of a set, compiled for following an answer. ``None`` where there is nothing of a kind."""

    def __init__(self, rule_set: RuleSet) -> None:
        long, short, patterns = _sorted_out([rule for rule in rule_set.rules if Direction.OUTPUT in rule.directions])
        self.long = Automaton(tuple(long)) if long else None
        self.short = Automaton(tuple(short)) if short else None
        self.patterns = PatternSet(tuple(patterns)) if patterns else None
        self.long_rules, self.short_rules, self.pattern_rules = (
            tuple(long.values()),
            tuple(short.values()),
            tuple(patterns.values()),
        )
        self.any = bool(long or short or patterns)


def live(rules: Iterable[Rule], direction: Direction, now: int) -> Rule | None:
    """The first rule that applies to a direction and has not expired."""
    return next(
        (rule for rule in rules if direction in rule.directions and (not rule.expires or now < rule.expires)), None
    )


def check(rule: Rule) -> None:
    """Raises RuleError when a rule can never be enforced as it is written."""
    if (rule.literal is None) == (rule.pattern is None):
        raise RuleError(rule.id, "exactly one of literal and pattern is needed")
    if rule.literal is not None:
        _check_literal(rule.id, rule.literal)
    else:
        _check_pattern(rule, str(rule.pattern))


def _check_literal(rule_id: str, literal: str) -> None:
    if len(literal) > MAX_LITERAL:
        raise RuleError(rule_id, f"the literal is longer than {MAX_LITERAL} characters")
    if not skeleton(literal):
        raise RuleError(rule_id, "the literal has no letter or digit")


def _check_pattern(rule: Rule, pattern: str) -> None:
    try:
        compiled = re2.compile(pattern, _pattern_options())
        span = longest_span(pattern)
    except re2.error as error:
        raise RuleError(rule.id, f"RE2 does not accept the pattern: {_reason(error)}") from None
    except PatternNotSupported as error:
        raise RuleError(rule.id, str(error)) from None
    lost = next(
        (character for character in pattern if normal(character) not in {character, character.lower(), " "}), None
    )
    if lost is not None or "  " in pattern:
        raise RuleError(
            rule.id, "the pattern holds a character that normalising replaces, or two blanks, and so would never match"
        )
    if compiled.search("") is not None:
        raise RuleError(rule.id, "the pattern matches the empty text, so it would match everything")
    if Direction.OUTPUT in rule.directions and (span is None or span > MAX_SPAN):
        raise RuleError(
            rule.id,
            f"a rule on answers needs a longest match of at most {MAX_SPAN} characters: bound every * + and {{n,}}",
        )


def _check_size(rules: Sequence[Rule]) -> None:
    total = patterns = 0
    for rule in rules:
        total += len(rule.literal or "")
        patterns += rule.pattern is not None
        if total > MAX_LITERALS or patterns > MAX_PATTERNS:
            raise RuleError(
                rule.id, f"a rule set holds at most {MAX_LITERALS} characters of literals and {MAX_PATTERNS} patterns"
            )


def _sorted_out(rules: Sequence[Rule]) -> tuple[dict[str, list[Rule]], dict[str, list[Rule]], dict[str, list[Rule]]]:
    """Long literals by skeleton, short ones by normal form, and patterns; equal ones together.

    A long literal of ASCII letters needs no second look in the normal form: where it stands there, its skeleton stands in the skeleton.
    """
    long: dict[str, list[Rule]] = {}
    short: dict[str, list[Rule]] = {}
    patterns: dict[str, list[Rule]] = {}
    for rule in rules:
        if rule.literal is None:
            patterns.setdefault(str(rule.pattern), []).append(rule)
            continue
        folded, bones = normal(rule.literal).strip(" "), skeleton(rule.literal)
        if len(bones) >= LONG:
            long.setdefault(bones, []).append(rule)
        if len(bones) < LONG or not folded.isascii():
            short.setdefault(folded, []).append(rule)
    return long, short, patterns


def _rules(by_index: Sequence[list[Rule]], hits: Iterable[int]) -> list[Rule]:
    return [rule for index in hits for rule in by_index[index]]


def _pattern_options() -> re2.Options:
    options = re2.Options()
    options.max_mem, options.log_errors, options.case_sensitive = _PATTERN_MEMORY, False, False
    return options


def _reason(error: Exception) -> str:
    detail = error.args[0] if error.args else ""
    return detail.decode("utf-8", "replace") if isinstance(detail, bytes) else str(detail)
