"""Property tests with the number of cases that each has seen."""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import dataclass

from loadtests.rig import ROOT

_TEST = re.compile(r"^(tests/\S+\.py)::\S.*:$")
_CASES = re.compile(r"- (\d+) passing(?: examples)?, (\d+) failing")


@dataclass(frozen=True, slots=True)
class Properties:
    """What the property tests of one file have seen."""

    file: str
    properties: int
    passing: int
    failing: int


def modules() -> list[str]:
    """Test files that use hypothesis."""
    files = sorted((ROOT / "tests").rglob("test_*.py"))
    return [str(path.relative_to(ROOT)) for path in files if "from hypothesis import" in path.read_text()]


def run() -> tuple[int, list[Properties]]:
    """Run them: pytest's exit code, and the counts of each file."""
    given = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--hypothesis-show-statistics", *modules()]
    done = subprocess.run(given, cwd=ROOT, capture_output=True, text=True, timeout=1800, check=False)
    return done.returncode, counted(done.stdout)


def counted(output: str) -> list[Properties]:
    """The counts in what hypothesis reports: a heading for each test, then its phases."""
    tests: dict[str, set[str]] = {}
    cases: dict[str, list[int]] = {}
    file = ""
    for line in output.splitlines():
        if heading := _TEST.match(line):
            file = heading[1]
            tests.setdefault(file, set()).add(line)
        elif file and (found := _CASES.search(line)):
            seen = cases.setdefault(file, [0, 0])
            seen[0] += int(found[1])
            seen[1] += int(found[2])
    return [Properties(file, len(names), *cases.get(file, [0, 0])) for file, names in sorted(tests.items())]
