"""The ``rules`` control: rapid-response rules, hot-added and removed, in every profile. No rules loaded is not an empty chain."""

from __future__ import annotations

from collections.abc import Iterable

from gateway.controls.benign import benign
from gateway.controls.matched import MatchingControl
from gateway.controls.matching import Matcher, RuleError, check
from gateway.terms import Rule, RuleSet
from gateway.verdict import Reason

__all__ = ["RuleError", "RulesControl", "benign", "expected_hits", "validate"]


class RulesControl(MatchingControl):
    """Blocks what the rule sets of the terms in force match, requests and answers."""

    def __init__(self) -> None:
        super().__init__("rules", Reason.RULE_MATCHED, lambda terms: terms.rule_sets)


def validate(rule: Rule) -> None:
    """Raises RuleError when a rule could not be enforced as written: bad syntax, no bound for answers, nothing to match."""
    check(rule)


def expected_hits(rule: Rule, texts: Iterable[str]) -> int:
    """How many of some harmless texts the rule would block, whatever its direction and expiry. Raises RuleError."""
    matcher = Matcher(RuleSet(digest=f"rule {rule.id}", rules=(rule,)))
    return sum(bool(matcher.in_text(text)) for text in texts)
