"""The commands that measure: ``evaluate``, ``audit``, ``sample`` and ``agreement``."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from classifiers.base import ClassifierError
from classifiers.catalogue import create
from classifiers.evaluate import agreement, plots, written
from classifiers.evaluate import audit as shortcuts
from classifiers.evaluate.data import read_data, sample
from classifiers.evaluate.report import Texts, build
from classifiers.evaluate.run import relabelled, score_rows
from classifiers.rows import Row
from classifiers.train.authored import FOLDER, read_authored
from classifiers.train.labels import RELABELS, read_relabels

DEFAULT_MODEL: Final = "cbrn-minilm"
READING_B: Final = Path(__file__).parent.parent / "train" / "readings" / "reader_b.json"


class BarBroken(ClassifierError):
    """An audit found a shortcut; the message is its table."""


def add(commands: Any) -> None:
    """Add the commands to the parser's; each sets ``run``, a function of the options that returns what to print."""
    _add_evaluate(commands)
    audit = commands.add_parser("audit", help="what can be told of the authored pairs without understanding them")
    audit.add_argument("--authored", type=Path, default=FOLDER, help="the folder of the authored texts")
    audit.add_argument("--out", type=Path, help="file for the findings, JSON")
    audit.set_defaults(run=_audit)
    drawn = commands.add_parser("sample", help="draw authored rows for a second reading: an empty sheet, and the texts")
    drawn.add_argument("--authored", type=Path, default=FOLDER)
    drawn.add_argument("--count", type=int, default=300)
    drawn.add_argument("--seed", type=int, default=agreement.SEED)
    drawn.add_argument("--out", type=Path, default=Path("sheet.json"))
    drawn.set_defaults(run=_sample)
    readers = commands.add_parser("agreement", help="Cohen's kappa of two filled sheets, and of each with the authors")
    readers.add_argument(
        "sheets", type=Path, nargs="*", help="one or two; without any, the second reading that is kept"
    )
    readers.add_argument("--authored", type=Path, default=FOLDER)
    readers.set_defaults(run=_agreement)


def _add_evaluate(commands: Any) -> None:
    evaluate = commands.add_parser("evaluate", help="recall and flag rates with exact intervals, by facet; plots")
    evaluate.add_argument(
        "data", type=Path, nargs="*", help="JSON lines, plain or gzip; authored .txt; folders of .txt"
    )
    evaluate.add_argument("--model", default=DEFAULT_MODEL)
    evaluate.add_argument("--category", default="cbrn")
    evaluate.add_argument(
        "--out", type=Path, default=Path("evaluation"), help="folder for report.md, .json and the plots"
    )
    evaluate.add_argument("--labels", choices=["re-read", "as-given"], default="re-read")
    evaluate.add_argument("--most", type=int, default=0, help="at most so many rows of each source and label; 0: all")
    evaluate.add_argument(
        "--compare", nargs=2, metavar=("A", "B"), help="two report.json, or models to score DATA with"
    )
    evaluate.add_argument("--no-plots", action="store_true")
    evaluate.set_defaults(run=_evaluate, needs_data=evaluate)


def check(options: argparse.Namespace) -> None:
    """Exits with 2 where ``evaluate`` has nothing to score."""
    reader = getattr(options, "needs_data", None)
    if reader is None or options.data:
        return
    if not options.compare or not all(Path(name).is_file() for name in options.compare):
        reader.error("DATA is needed, unless --compare is given two files")


def _rows(options: argparse.Namespace) -> list[Row]:
    rows = sample(read_data(options.data), options.most)
    return relabelled(rows, read_relabels(RELABELS)) if options.labels == "re-read" else rows


def _evaluate(options: argparse.Namespace) -> str:
    if options.compare:
        one, other = (_report_of(name, options) for name in options.compare)
        return written.compared(one, other)
    report = _scored(options.model, options.out, options)
    return written.as_markdown(report)


def _report_of(name: str, options: argparse.Namespace) -> written.Report:
    path = Path(name)
    return written.read(path) if path.is_file() else _scored(name, options.out / name, options)


def _scored(model: str, out: Path, options: argparse.Namespace) -> written.Report:
    """Score the data with a model and write its report and plots. Raises ClassifierError, DataError."""
    rows = _rows(options)
    classifier = create(model)
    if options.category not in classifier.card.categories:
        raise ClassifierError(f"{model} knows no category {options.category}")
    texts = Texts(options.category, tuple(asyncio.run(score_rows(classifier, rows))))
    report = build(classifier.card, texts, f"{model}: evaluation")
    written.write(out, report)
    if not options.no_plots:
        if plots.available():
            plots.draw(out, texts, report["calibration"]["steps"])
        else:
            sys.stderr.write("no plots: matplotlib is not installed (pip install 'asl-gateway[train]')\n")
    return report


def _audit(options: argparse.Namespace) -> str:
    findings = shortcuts.audit(read_authored(options.authored))
    if options.out is not None:
        options.out.write_text(json.dumps(shortcuts.as_json(findings), indent=1) + "\n")
    table = shortcuts.as_table(findings)
    if not all(one.passes for one in findings):
        raise BarBroken(table)
    return table


def _sample(options: argparse.Namespace) -> str:
    chosen = agreement.draw(read_authored(options.authored), options.count, options.seed)
    agreement.write_sheet(chosen, options.out)
    return f"{options.out} is to be filled in while reading {options.out.with_suffix('.texts.jsonl')}"


def _agreement(options: argparse.Namespace) -> str:
    sheets: Sequence[Path] = options.sheets or [READING_B]
    readings = [(str(path), agreement.read_sheet(path)) for path in sheets]
    readings.append(("the authors", agreement.of_authors(read_authored(options.authored))))
    lines = []
    for place, (name, one) in enumerate(readings):
        for other_name, other in readings[place + 1 :]:
            lines.append(f"{name} and {other_name}: {agreement.agree(one, other)}")
    return "\n".join(lines)
