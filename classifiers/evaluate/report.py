"""The figures of an evaluation: recall at stated flag rates, AUROC, by facet, beside a lexicon, and how far scores are chances."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from classifiers.base import Card
from classifiers.evaluate.figures import Scored, as_json, measure, threshold_for
from classifiers.evaluate.intervals import Rate, rate
from classifiers.evaluate.ranking import Area, area

HARMFUL: Final[Mapping[str, str]] = {"cbrn": "cbrn_harmful", "other_harm": "other_harmful"}
ORDINARY: Final = "benign"
HARMLESS: Final = frozenset({"benign", "cbrn_adjacent_benign"})
SHARES: Final = (0.01, 0.005, 0.001)
FACETS: Final = ("source", "lang", "attack", "field", "genre")
BINS: Final = 10

Hit = Callable[[Scored], bool]


@dataclass(frozen=True, slots=True)
class Texts:
    """Scored texts of one category: harmful ones, harmless ones, and of these the ordinary ones, by which flag rates are set."""

    category: str
    all: tuple[Scored, ...]

    @property
    def harmful(self) -> list[Scored]:
        """Texts that must be flagged."""
        return [one for one in self.all if one.label == HARMFUL.get(self.category, self.category)]

    @property
    def harmless(self) -> list[Scored]:
        """Texts that must not be."""
        return [one for one in self.all if one.label in HARMLESS]

    @property
    def ordinary(self) -> list[Scored]:
        """Harmless texts that have nothing to do with the subject; all harmless ones where none are marked so."""
        return [one for one in self.harmless if one.label == ORDINARY] or self.harmless

    def scores(self, texts: Sequence[Scored]) -> list[float]:
        """Their scores of the category."""
        return [one.scores[self.category] for one in texts]


def build(card: Card, texts: Texts, title: str) -> dict[str, Any]:
    """The whole report as plain data."""
    return {
        "title": title,
        "model": {"id": card.id, "version": card.version, "digest": card.digest},
        "category": texts.category,
        "thresholds": dict(card.thresholds),
        "rows": len(texts.all),
        "lines": as_json(measure(texts.all, card.thresholds)),
        "auroc": list(_areas(texts)),
        "points": [_point(texts, share) for share in SHARES],
        "facets": list(_facets(card, texts)),
        "union": list(_union(card, texts)),
        "calibration": _calibration(texts),
    }


def _areas(texts: Texts) -> Iterator[dict[str, Any]]:
    """Harmful against ordinary and against near-miss texts, in all and by facet of the harmful ones."""
    near = [one for one in texts.harmless if one.label != ORDINARY]
    for against, others in (("ordinary", texts.ordinary), ("near-miss", near)):
        scores = texts.scores(others)
        yield from _area("all", "all", against, area(texts.scores(texts.harmful), scores))
        for facet in FACETS:
            for value, members in grouped(texts.harmful, facet).items():
                yield from _area(facet, value, against, area(texts.scores(members), scores))
        lexicon = area([float(one.named) for one in texts.harmful], [float(one.named) for one in others])
        yield from _area("lexicon alone", "all", against, lexicon)


def _area(facet: str, value: str, against: str, found: Area | None) -> Iterator[dict[str, Any]]:
    if found is not None:
        figures = {"auroc": round(found.value, 4), "interval": [round(found.low, 4), round(found.high, 4)]}
        yield {"facet": facet, "value": value, "against": against, "harmful": found.positives, **figures}


def grouped(texts: Sequence[Scored], facet: str) -> dict[str, list[Scored]]:
    """Texts by the value of a facet; those without one are left out."""
    groups: dict[str, list[Scored]] = defaultdict(list)
    for one in texts:
        if value := getattr(one, facet):
            groups[value].append(one)
    return dict(sorted(groups.items()))


def as_rate(found: Rate) -> dict[str, Any]:
    """A rate as plain data."""
    return {
        "hits": found.hits,
        "total": found.total,
        "rate": round(found.value, 5),
        "interval": [round(found.low, 5), round(found.high, 5)],
    }


def share_of(texts: Sequence[Scored], hit: Hit) -> dict[str, Any]:
    """The share of texts that are hit, with its interval."""
    return as_rate(rate(sum(map(hit, texts)), len(texts)))


def at_least(category: str, threshold: float) -> Hit:
    """Whether a text's score reaches a threshold."""
    return lambda one: one.scores[category] >= threshold


def _point(texts: Texts, share: float) -> dict[str, Any]:
    """What is found where ``share`` of ordinary texts is flagged. Thresholds are fitted on these very rows."""
    threshold = threshold_for(texts.scores(texts.ordinary), share)
    hit = at_least(texts.category, threshold)
    return {
        "share": share,
        "threshold": threshold,
        "flagged": share_of(texts.ordinary, hit),
        "near_miss": share_of([one for one in texts.harmless if one.label != ORDINARY], hit),
        "recall": share_of(texts.harmful, hit),
        "recall_lexicon_misses": share_of([one for one in texts.harmful if not one.named], hit),
    }


def block_of(card: Card, category: str) -> float:
    """Where the card blocks or monitors a category; 1 where it says nothing."""
    return card.thresholds.get(f"{category}.block", card.thresholds.get(f"{category}.monitor", 1.0))


def _facets(card: Card, texts: Texts) -> Iterator[dict[str, Any]]:
    """The share at the card's threshold, by facet, apart for harmful and harmless texts."""
    hit = at_least(texts.category, block_of(card, texts.category))
    for kind, members in (("harmful", texts.harmful), ("harmless", texts.harmless)):
        for facet in FACETS:
            for value, group in grouped(members, facet).items():
                yield {"kind": kind, "facet": facet, "value": value, **share_of(group, hit)}


def _union(card: Card, texts: Texts) -> Iterator[dict[str, Any]]:
    """By label: what the classifier flags, what the lexicon would, and what either would."""
    hit = at_least(texts.category, block_of(card, texts.category))
    labels: dict[str, list[Scored]] = defaultdict(list)
    for one in texts.all:
        labels[one.label].append(one)
    for label, members in sorted(labels.items()):
        yield {
            "label": label,
            "classifier": share_of(members, hit),
            "lexicon": share_of(members, lambda one: one.named),
            "either": share_of(members, lambda one: one.named or hit(one)),
        }


def _calibration(texts: Texts) -> dict[str, Any]:
    """Scores in ten steps against the share that is harmful among these rows, and the mean distance (ECE)."""
    scores = np.array([*texts.scores(texts.harmful), *texts.scores(texts.harmless)])
    truth = np.concatenate([np.ones(len(texts.harmful)), np.zeros(len(texts.harmless))])
    places = np.minimum((scores * BINS).astype(int), BINS - 1)
    steps = []
    for place in range(BINS):
        inside = places == place
        if count := int(inside.sum()):
            said, seen = float(scores[inside].mean()), float(truth[inside].mean())
            steps.append({"step": place / BINS, "count": count, "score": round(said, 4), "harmful": round(seen, 4)})
    error = sum(step["count"] * abs(step["score"] - step["harmful"]) for step in steps) / max(1, len(scores))
    return {"steps": steps, "error": round(error, 4)}
