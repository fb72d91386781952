"""From scores to marks: which categories of a classifier's card count, and where they block or make the gateway wary."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from classifiers.base import Card, Classifier, ClassifierError, ClassifierInvalid, Scored, Window
from gateway.terms import Group, Terms

NEAR_SHARE: Final = 0.6  # of the threshold, where the card does not say
PROBE_SECONDS: Final = 1.0


@dataclass(frozen=True, slots=True)
class Mark:
    """The most telling score of a text, in thousandths, with what it is held against."""

    score: int
    threshold: int
    near: int
    category: str

    @property
    def flagged(self) -> bool:
        """At or above the threshold."""
        return self.score >= self.threshold

    @property
    def wary(self) -> bool:
        """At or above ``near``: not to be released before more has been seen."""
        return self.score >= self.near

    @property
    def urgency(self) -> float:
        """The score as a share of its threshold, by which marks of different categories compare."""
        return self.score / max(self.threshold, 1)


@dataclass(frozen=True, slots=True)
class _Column:
    """One category: its place in the scores, its thresholds in thousandths."""

    index: int
    category: str
    threshold: int
    near: int

    def mark(self, score: float) -> Mark:
        return Mark(round(score * 1000), self.threshold, self.near, self.category)


class Scale:
    """The categories that count for one control under some terms."""

    def __init__(self, card: Card, control: str, categories: Sequence[str], terms: Terms) -> None:
        """``categories``: those that count; none given means all of the card. Raises ValueError for one it does not know."""
        chosen = tuple(categories) or card.categories
        unknown = [category for category in chosen if category not in card.categories]
        if unknown or not chosen:
            raise ValueError(f"classifier {card.id} knows no category {', '.join(unknown) or 'at all'}")
        self._width = len(card.categories)
        self._columns = tuple(_column(card, control, category, terms) for category in chosen)
        self.nothing = self._columns[0].mark(0.0)

    def mark(self, text: str, scored: Scored) -> Mark:
        """The most urgent mark over all windows. Raises ClassifierInvalid unless the windows cover the text with valid scores.

        The protocol promises both; a score that is not a number would compare as harmless, so that it is checked here too.
        """
        windows = scored.windows
        self._check(text, windows)
        if not windows:
            return self.nothing
        # One mark per category, of its highest score: a long text has thousands of windows, and this runs on the loop.
        marks = [column.mark(max([window.scores[column.index] for window in windows])) for column in self._columns]
        return max(marks, key=lambda mark: mark.urgency)

    def marks(self, texts: Sequence[str], scored: Sequence[Scored]) -> list[Mark]:
        """One mark per text. Raises ClassifierInvalid."""
        if len(scored) != len(texts):
            raise ClassifierInvalid(f"{len(scored)} results for {len(texts)} texts")
        return [self.mark(text, one) for text, one in zip(texts, scored, strict=True)]

    def _check(self, text: str, windows: Sequence[Window]) -> None:
        covered = 0
        for window in windows:
            if window.start > covered or len(window.scores) != self._width:
                raise ClassifierInvalid("the windows leave a gap or have too few scores")
            for score in window.scores:
                if not 0.0 <= score <= 1.0:  # neither is what is not a number
                    raise ClassifierInvalid("a score is no number in [0, 1]")
            covered = max(covered, window.end)
        if covered < len(text):
            raise ClassifierInvalid("the windows do not cover the text")


def _column(card: Card, control: str, category: str, terms: Terms) -> _Column:
    """Thresholds: the profile's for the control, else the card's ``<category>.block`` or ``.monitor``; near in proportion."""
    stated = card.thresholds.get(f"{category}.block", card.thresholds.get(f"{category}.monitor"))
    if stated is None:
        raise ValueError(f"classifier {card.id} states no threshold for {category}")
    share = (
        card.thresholds[f"{category}.near"] / stated if stated and f"{category}.near" in card.thresholds else NEAR_SHARE
    )
    threshold = terms.threshold(control, round(stated * 1000))
    return _Column(card.categories.index(category), category, threshold, round(threshold * min(share, 1.0)))


def seconds_for(groups: frozenset[Group], control: str) -> float:
    """The longest deadline of the groups that may ask a control, for the classifier's own queue."""
    return max((group.deadline_ms for group in groups if control in group.members), default=2000) / 1000


async def answers(classifier: Classifier) -> bool:
    """Whether the classifier scores a short text now."""
    try:
        await classifier.score(("ready?",), budget=4, seconds=PROBE_SECONDS)
    except ClassifierError:
        return False
    return True
