"""Figures of scored texts: shares at or above thresholds per label, source and language, with exact intervals."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from classifiers.evaluate.intervals import Rate, rate


@dataclass(frozen=True, slots=True)
class Scored:
    """One text: what it is and its highest score per category. ``named``: a lexicon finds something in it."""

    label: str
    source: str
    lang: str
    scores: Mapping[str, float]
    attack: str = ""
    field: str = ""
    genre: str = ""
    named: bool = False


@dataclass(frozen=True, slots=True)
class Line:
    """The share of one group at or above one threshold (``category.kind``)."""

    threshold: str
    label: str
    source: str
    lang: str
    rate: Rate


def measure(texts: Iterable[Scored], thresholds: Mapping[str, float]) -> list[Line]:
    """One line per threshold and group; the group of all sources of a label has source and language ``all``."""
    groups: dict[tuple[str, str, str], list[Scored]] = defaultdict(list)
    for text in texts:
        groups[text.label, "all", "all"].append(text)
        groups[text.label, text.source, text.lang].append(text)
    lines = []
    for name, value in sorted(thresholds.items()):
        category = name.split(".")[0]
        for (label, source, lang), members in sorted(groups.items()):
            hits = sum(member.scores[category] >= value for member in members)
            lines.append(Line(name, label, source, lang, rate(hits, len(members))))
    return lines


def threshold_for(scores: Sequence[float], share: float) -> float:
    """The smallest threshold, to four places, at which at most ``share`` of the scores are at or above it."""
    allowed = int(share * len(scores))
    ordered = sorted(scores, reverse=True)
    above = ordered[allowed] if allowed < len(ordered) else 0.0
    return min(1.0, int(above * 10_000 + 1) / 10_000)


def as_json(lines: Sequence[Line]) -> list[dict[str, object]]:
    """The lines as JSON objects, rates rounded to five places."""
    return [
        {
            "threshold": line.threshold,
            "label": line.label,
            "source": line.source,
            "lang": line.lang,
            "hits": line.rate.hits,
            "total": line.rate.total,
            "rate": round(line.rate.value, 5),
            "interval": [round(line.rate.low, 5), round(line.rate.high, 5)],
        }
        for line in lines
    ]


def as_markdown(title: str, lines: Sequence[Line]) -> str:
    """The lines as a table."""
    head = [
        f"# {title}",
        "",
        "| threshold | label | source | lang | at or above | exact 95 % interval |",
        "|---|---|---|---|---|---|",
    ]
    body = [
        f"| {line.threshold} | {line.label} | {line.source} | {line.lang} | {line.rate.hits}/{line.rate.total} = "
        f"{line.rate.value:.2%} | {line.rate.low:.2%} to {line.rate.high:.2%} |"
        for line in lines
    ]
    return "\n".join([*head, *body, ""])
