"""``python -m loadtests.fuzz [TARGET ...] --seconds N``: hunt for crashes; without targets, all of them. Exits 1 where one was found."""

from __future__ import annotations

import argparse
import importlib.util
import sys
from pathlib import Path

from loadtests.fuzz import ROOT
from loadtests.fuzz.targets import TARGETS, target


def main() -> int:
    """The command."""
    names = [each.name for each in TARGETS]
    parser = argparse.ArgumentParser(prog="python -m loadtests.fuzz", description=__doc__)
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=f"of {', '.join(names)}; all without one")
    parser.add_argument("--seconds", type=int, default=60, help="for each target")
    parser.add_argument("--folder", type=Path, default=ROOT / ".fuzz", help="corpora, logs and crashes")
    parser.add_argument("--replay", type=Path, help="run one input through the one target named, and show what happens")
    given = parser.parse_args()
    unknown = set(given.targets) - set(names)
    if unknown:
        parser.error(f"no such target: {', '.join(sorted(unknown))}")
    if given.replay:
        if len(given.targets) != 1:
            parser.error("--replay needs exactly one target")
        target(given.targets[0]).run(given.replay.read_bytes())
        print("nothing happened")
        return 0
    if importlib.util.find_spec("atheris") is None:
        print("atheris is not installed: pip install -c constraints.txt -e '.[fuzz]', or `make fuzz`", file=sys.stderr)
        return 2
    from loadtests.fuzz.campaign import run, table

    print(
        f"== hunting {given.seconds} s on each of {len(given.targets) or len(names)} targets, two at a time", flush=True
    )
    outcomes = run([target(name) for name in given.targets or names], given.seconds, given.folder)
    print(table(outcomes))
    for each in outcomes:
        if each.crash:
            print(
                f"{each.target}: {each.crash}; see {each.log}; again: python -m loadtests.fuzz {each.target} --replay FILE"
            )
    return 1 if any(each.crash for each in outcomes) else 0


if __name__ == "__main__":
    sys.exit(main())
