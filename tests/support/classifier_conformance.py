"""What every classifier must do. A test module subclasses ``ClassifierConformance`` and says how to make one."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator

import pytest

from classifiers.base import Classifier, ClassifierTimeout, ClassifierUnavailable, OverBudget, Scored

ODD_TEXTS = (
    "",
    " ",
    "word",
    "\n\t \u200b\u200b",
    "\ud800 lone",
    "\x00\x1f" * 40,
    "🧪" * 200,
    "무" * 300,
    "[CLS] [SEP] [PAD]" * 9,
    "many plain words in a row " * 60,
    "nospaces" * 300,
)


def assert_covered(text: str, scored: Scored, categories: int) -> None:
    """Windows are in order, overlap or touch, cover every character, and carry one finite score per category."""
    if not text:
        assert scored.windows == ()
        return
    assert scored.windows[0].start == 0
    assert scored.windows[-1].end == len(text)
    for before, after in zip(scored.windows, scored.windows[1:], strict=False):
        assert before.start <= after.start <= before.end <= after.end
    for window in scored.windows:
        assert len(window.scores) == categories
        assert all(math.isfinite(score) and 0.0 <= score <= 1.0 for score in window.scores)


class ClassifierConformance:
    """Subclasses set ``good`` and ``bad`` texts for category ``category`` and implement ``make``."""

    good: str
    bad: str
    category: str = "cbrn"

    def make(self) -> Classifier:
        raise NotImplementedError

    @pytest.fixture
    async def classifier(self) -> AsyncIterator[Classifier]:
        made = self.make()
        await made.start()
        yield made
        await made.close()

    async def test_covers_odd_texts(self, classifier: Classifier) -> None:
        """Every character of every text belongs to a window with proper scores."""
        scored = await classifier.score(ODD_TEXTS, budget=10_000, seconds=60)
        assert len(scored) == len(ODD_TEXTS)
        for text, one in zip(ODD_TEXTS, scored, strict=True):
            assert_covered(text, one, len(classifier.card.categories))

    async def test_tells_good_from_bad(self, classifier: Classifier) -> None:
        """The block threshold of the card divides a harmful text from a harmless one."""
        index = classifier.card.categories.index(self.category)
        threshold = classifier.card.thresholds[f"{self.category}.block"]
        good, bad = await classifier.score([self.good, self.bad], budget=100, seconds=30)
        assert good.peak(index) < threshold <= bad.peak(index)

    async def test_is_repeatable(self, classifier: Classifier) -> None:
        """The same text has the same scores, alone or in company."""
        alone = await classifier.score([self.bad], budget=100, seconds=30)
        company = await classifier.score([self.good, self.bad, self.bad], budget=100, seconds=30)
        assert company[1:] == (alone[0], alone[0])

    async def test_no_messages(self, classifier: Classifier) -> None:
        """Nothing to score is answered with nothing."""
        assert await classifier.score([], budget=0, seconds=5) == ()

    async def test_budget_counts_all_messages(self, classifier: Classifier) -> None:
        """One window too many is refused, again when asked again; the exact budget is enough, cached or not."""
        text = "many plain words in a row " * 60
        needed = sum(len(one.windows) for one in await classifier.score([text, self.good], budget=10_000, seconds=60))
        for _ in range(2):
            with pytest.raises(OverBudget) as refused:
                await classifier.score([text, self.good], budget=needed - 1, seconds=60)
            assert refused.value.budget == needed - 1
            assert needed - 1 < refused.value.windows <= needed
        assert len(await classifier.score([text, self.good], budget=needed, seconds=60)) == 2

    async def test_over_budget_before_inference(self, classifier: Classifier) -> None:
        """A text that was never scored is refused by its count."""
        with pytest.raises(OverBudget):
            await classifier.score(["other plain words in a row " * 60], budget=2, seconds=30)

    async def test_deadline(self, classifier: Classifier) -> None:
        """No time at all ends in ClassifierTimeout, and the classifier works afterwards."""
        with pytest.raises(ClassifierTimeout):
            await classifier.score(["a text that nobody has scored before"], budget=100, seconds=0)
        assert len(await classifier.score([self.good], budget=100, seconds=30)) == 1

    async def test_partitions_share_nothing(self, classifier: Classifier) -> None:
        """A text has the same scores in every partition, and what one has cached does not answer for another."""
        text = "a text that only one of them has sent"
        for partition in ("one", "other", "one", ""):
            (scored,) = await classifier.score([text], budget=100, seconds=30, partition=partition)
            assert_covered(text, scored, len(classifier.card.categories))

    async def test_many_at_once(self, classifier: Classifier) -> None:
        """Concurrent calls each get their own scores."""
        calls = [classifier.score([f"text number {index}", self.bad], budget=100, seconds=60) for index in range(20)]
        for one in await asyncio.gather(*calls):
            assert len(one) == 2
            assert_covered(self.bad, one[1], len(classifier.card.categories))

    async def test_unavailable_before_start_and_after_close(self) -> None:
        """A classifier that is not running refuses; it never answers with an empty score."""
        made = self.make()
        with pytest.raises(ClassifierUnavailable):
            await made.score([self.good], budget=100, seconds=5)
        assert (made.health.alive, made.health.fit) == (0, False)
        await made.start()
        assert (made.health.alive, made.health.fit) == (made.health.wanted, True)
        assert not any(made.health.losses.values())
        await made.close()
        assert (made.health.alive, made.health.fit) == (0, False)
        with pytest.raises(ClassifierUnavailable):
            await made.score([self.good], budget=100, seconds=5)

    def test_card_is_known_before_start(self) -> None:
        """Card, categories and thresholds can be checked without loading the weights."""
        card = self.make().card
        assert self.category in card.categories
        assert card.stride_tokens < card.window_tokens
