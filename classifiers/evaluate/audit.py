"""The shortcut audit: what can be told of the authored pairs without understanding them.

For each shortcut a small logistic model learns from four fifths of the pairs and scores the others (both halves of a pair are
always on one side). Data that can be told apart by first words, by length or by source teaches a classifier just that.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

import numpy as np

from classifiers.evaluate.ranking import Area, area
from classifiers.train.authored import HARMFUL, Authored
from classifiers.train.logistic import Floats, fit
from gateway.text.mentions import mentions

BAR: Final = 0.6
FOLDS: Final = 5
RIDGE: Final = 3.0
# The commonest features: as many as a Newton step solves in a second.
FEATURES: Final = 500
WORDS: Final = 3

Describe = Callable[[Authored], Sequence[str]]


@dataclass(frozen=True, slots=True)
class Finding:
    """How well one shortcut orders the pairs of one author (``all``: of everybody); ``barred`` ones must stay under the bar."""

    shortcut: str
    author: str
    area: Area
    barred: bool

    @property
    def passes(self) -> bool:
        """Whether the bar holds. One author's pairs are few, so that only all of them together are held against it."""
        return not (self.barred and self.author == "all") or self.area.value < BAR


def first_words(one: Authored) -> list[str]:
    """The first three words, alone, by place and together; of scripts without spaces, the first three characters."""
    text = one.row.text.casefold()
    parts = text.split()[:WORDS] if " " in text[:24] else list(text[:WORDS])
    return [
        *(f"has {part}" for part in parts),
        *(f"{place} {part}" for place, part in enumerate(parts)),
        "two " + " ".join(parts[:2]),
        "three " + " ".join(parts),
    ]


def length(one: Authored) -> list[str]:
    """Steps of the number of words and of characters, doubling every four steps, and what they exceed."""
    words = int(4 * np.log2(1 + len(one.row.text.split())))
    characters = int(4 * np.log2(1 + len(one.row.text)))
    return [*(f"words over {n}" for n in range(words + 1)), *(f"characters over {n}" for n in range(characters + 1))]


def source(one: Authored) -> list[str]:
    """Author, language and topic."""
    return [one.author, one.row.lang, one.topic, f"{one.author} {one.topic}"]


def lexicon(one: Authored) -> list[str]:
    """Whether a lexicon finds anything."""
    return ["named"] if mentions(one.row.text) else []


SHORTCUTS: Final[Mapping[str, tuple[Describe, bool]]] = MappingProxyType(
    {
        "first three words": (first_words, True),
        "length": (length, True),
        "source": (source, True),
        "lexicon": (lexicon, False),
    }
)


def audit(texts: Sequence[Authored]) -> list[Finding]:
    """One finding per shortcut for all pairs, and one per author. Texts that are in no pair are passed over."""
    pairs = [one for one in texts if one.pair]
    findings = []
    for name, (describe, barred) in SHORTCUTS.items():
        scores = held_out([describe(one) for one in pairs], pairs)
        for author in ("all", *sorted({one.author for one in pairs})):
            chosen = [
                (score, one.row.label == HARMFUL)
                for score, one in zip(scores, pairs, strict=True)
                if author in {"all", one.author}
            ]
            found = area([score for score, bad in chosen if bad], [score for score, bad in chosen if not bad])
            if found is not None:
                findings.append(Finding(name, author, found, barred))
    return findings


def held_out(described: Sequence[Sequence[str]], pairs: Sequence[Authored]) -> Floats:
    """Each text's logit by a model that has not seen its pair."""
    folds = np.array([int(hashlib.sha256(one.row.group.encode()).hexdigest(), 16) % FOLDS for one in pairs])
    targets = np.array([float(one.row.label == HARMFUL) for one in pairs])
    scores = np.zeros(len(pairs))
    for fold in range(FOLDS):
        learn = folds != fold
        known = Counter(name for names, used in zip(described, learn, strict=True) if used for name in set(names))
        features = _table(described, [name for name, _ in known.most_common(FEATURES)])
        weights, bias = fit(features[learn], targets[learn], np.ones(int(learn.sum())), RIDGE)
        scores[~learn] = features[~learn] @ weights + bias
    # Folds have a bias of their own, which says nothing about the texts: only steps larger than rounding count.
    return np.round(scores, 9)


def _table(described: Sequence[Sequence[str]], names: Sequence[str]) -> Floats:
    places = {name: place for place, name in enumerate(names)}
    table = np.zeros((len(described), len(names)))
    for row, found in enumerate(described):
        for name in found:
            if name in places:
                table[row, places[name]] = 1.0
    return table


def as_table(findings: Sequence[Finding]) -> str:
    """The findings in Markdown."""
    head = ["| shortcut | author | pairs | AUROC | 95 % interval | bar |", "|---|---|---|---|---|---|"]
    body = [
        f"| {one.shortcut} | {one.author} | {one.area.positives} | {one.area.value:.3f} | {one.area.low:.3f} to {one.area.high:.3f} | "
        f"{_said(one)} |"
        for one in findings
    ]
    return "\n".join([*head, *body])


def _said(one: Finding) -> str:
    if not one.barred or one.author != "all":
        return ""
    return f"under {BAR}: {'holds' if one.passes else 'broken'}"


def as_json(findings: Sequence[Finding]) -> list[dict[str, object]]:
    """The findings as JSON objects."""
    return [
        {
            "shortcut": one.shortcut,
            "author": one.author,
            "pairs": one.area.positives,
            "auroc": round(one.area.value, 4),
            "interval": [round(one.area.low, 4), round(one.area.high, 4)],
            "passes": one.passes,
        }
        for one in findings
    ]
