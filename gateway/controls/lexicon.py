"""The ``lexicon`` control: the stricter, cruder substitute for the classifier screens.

It flags the mere mention of weapons of mass destruction and of what they are made of, so it refuses historians and nurses too: that is
the price of staying strict while a classifier is down. Names of things only; nothing here says how anything is done.
"""

from __future__ import annotations

from gateway.controls.matched import MatchingControl
from gateway.exchange import Direction
from gateway.terms import Rule, RuleSet
from gateway.text.mentions import PHRASES, WORDS
from gateway.verdict import Reason


def _rule(place: int, *, literal: str | None = None, pattern: str | None = None) -> Rule:
    return Rule(
        f"lexicon-{place:03}", "cbrn", frozenset(Direction), literal, pattern, expires=0, reason="named in the lexicon"
    )


LEXICON = RuleSet(
    digest="lexicon-1",
    rules=(
        *(_rule(place, literal=phrase) for place, phrase in enumerate(PHRASES, 1)),
        *(_rule(place, pattern=rf"\b{word}\b") for place, word in enumerate(WORDS, 1 + len(PHRASES))),
    ),
)


class LexiconControl(MatchingControl):
    """Blocks on mention, whatever the terms say. Compiled when built, so a fallback never waits."""

    def __init__(self) -> None:
        super().__init__("lexicon", Reason.LEXICON_MATCHED, lambda _terms: (LEXICON,))
        self.prepare(LEXICON)
