"""Reports as Markdown, on disk, and two of them side by side."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from classifiers.rows import DataError

Report = Mapping[str, Any]
POINT: Final = ("flagged", "near_miss", "recall", "recall_lexicon_misses")


def said(found: Mapping[str, Any]) -> str:
    """A rate with its interval."""
    low, high = found["interval"]
    return f"{found['hits']}/{found['total']} = {found['rate']:.2%} [{low:.2%}, {high:.2%}]"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
    return "\n".join([*lines, *(f"| {' | '.join(row)} |" for row in rows), ""])


def as_markdown(report: Report) -> str:
    """The whole report. Brackets hold exact 95 % intervals; of AUROC those of Hanley and McNeil."""
    parts = [
        f"# {report['title']}\n",
        f"{report['rows']} rows, category `{report['category']}`, each with all its decoded views. Brackets: exact 95 % intervals.\n",
        "## At stated flag rates on ordinary text (thresholds fitted on these rows)\n",
        table(
            ["flag rate", "threshold", "flagged", "near misses flagged", "recall", "recall where a lexicon finds nothing"],
            ([f"{p['share']:.1%}", str(p["threshold"]), *(said(p[name]) for name in POINT)] for p in report["points"]),
        ),
        "## At the card's threshold: classifier, lexicon, either\n",
        table(
            ["label", "classifier", "lexicon", "either"],
            ([u["label"], *(said(u[k]) for k in ("classifier", "lexicon", "either"))] for u in report["union"]),
        ),
        "## At the card's threshold, by facet\n",
        table(["texts", "facet", "value", "flagged"], ([f["kind"], f["facet"], f["value"], said(f)] for f in report["facets"])),
        "## AUROC\n",
        table(["facet", "value", "against", "harmful", "AUROC"], map(_area, report["auroc"])),
        f"## Calibration (expected error {report['calibration']['error']})\n",
        table(
            ["scores from", "texts", "mean score", "harmful"],
            ([f"{s['step']:.1f}", str(s["count"]), f"{s['score']:.3f}", f"{s['harmful']:.3f}"] for s in report["calibration"]["steps"]),
        ),
        "## Every threshold of the card\n",
        table(
            ["threshold", "label", "source", "lang", "at or above"],
            ([line["threshold"], line["label"], line["source"], line["lang"], said(line)] for line in report["lines"]),
        ),
    ]  # fmt: skip
    return "\n".join(parts)


def _area(found: Mapping[str, Any]) -> list[str]:
    low, high = found["interval"]
    value = f"{found['auroc']:.3f} [{low:.3f}, {high:.3f}]"
    return [found["facet"], found["value"], found["against"], str(found["harmful"]), value]


def write(out: Path, report: Report) -> str:
    """Write report.json and report.md into ``out`` and return the Markdown."""
    markdown = as_markdown(report)
    out.mkdir(parents=True, exist_ok=True)
    (out / "report.json").write_text(json.dumps(report, indent=1) + "\n")
    (out / "report.md").write_text(markdown)
    return markdown


def read(path: Path) -> Report:
    """A written report. Raises DataError."""
    try:
        report: Report = json.loads(path.read_text())
        named(report)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path}: not a report: {error!r}") from error
    return report


def named(report: Report) -> dict[str, str]:
    """Every figure of a report by what it is of. Raises KeyError or TypeError where it is none."""
    figures: dict[str, str] = {}
    for point in report["points"]:
        for name in ("recall", "recall_lexicon_misses", "near_miss"):
            figures[f"{name.replace('_', ' ')} at {point['share']:.1%} flags"] = said(point[name])
    for union in report["union"]:
        figures[f"{union['label']}: classifier"] = said(union["classifier"])
        figures[f"{union['label']}: classifier or lexicon"] = said(union["either"])
    for one in report["facets"]:
        figures[f"{one['kind']}, {one['facet']} {one['value']}"] = said(one)
    for one in report["auroc"]:
        figures[f"AUROC, {one['facet']} {one['value']}, against {one['against']}"] = _area(one)[-1]
    return figures


def compared(one: Report, other: Report) -> str:
    """Two reports side by side; a figure that only one of them has leaves the other's place empty."""
    first, second = named(one), named(other)
    names = list(dict.fromkeys([*first, *second]))
    head = ["figure", *(f"{report['model']['id']} {report['model']['version']}" for report in (one, other))]
    return table(head, ([name, first.get(name, ""), second.get(name, "")] for name in names))
