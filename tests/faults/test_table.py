"""docs/faults.md is what the tests do: every line names a test that exists, every fault test has its line."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

TESTS = Path(__file__).parent.parent
TABLE = TESTS.parent / "docs" / "faults.md"
LINE = re.compile(r"^\| (?P<cells>.*) \| `(?P<test>[\w./]+\.py::[\w\[\]-]+)` \|$", re.MULTILINE)


def named() -> list[str]:
    """The tests that the table names, in its order."""
    return [found["test"] for found in LINE.finditer(TABLE.read_text())]


def collected() -> set[str]:
    """The tests of this folder with their parameters, as pytest names them, below ``tests/``."""
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "--collect-only", "-q", "-m", "", "-p", "no:cacheprovider", str(Path(__file__).parent)],
        capture_output=True, text=True, check=False, cwd=TESTS.parent, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    ids = {line.removeprefix("tests/") for line in done.stdout.splitlines() if "::" in line}
    return {name for name in ids if not name.startswith("faults/test_table.py")}


def functions(path: Path) -> set[str]:
    """The test functions of a file."""
    return {
        node.name
        for node in ast.parse(path.read_text()).body
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_")
    }


def test_every_line_is_whole() -> None:
    """Each line of the table says what, how, what is seen, when it recovers, and which test holds it to that."""
    lines = [line for line in TABLE.read_text().splitlines() if line.startswith("| ") and not line.startswith("| **")]
    assert len(lines[1:]) == len(named())
    assert all(len(line.split(" | ")) == 5 and all(cell.strip(" |") for cell in line.split(" | ")) for line in lines)


def test_every_line_has_its_test_and_every_test_its_line() -> None:
    """A line without a test promises too much; a fault test without a line is not told to operators."""
    lines, tests = named(), collected()
    assert len(lines) == len(set(lines))
    for name in lines:
        path, _, function = name.partition("::")
        assert function.partition("[")[0] in functions(TESTS / path), name
        assert not path.startswith("faults/") or "[" not in name or name in tests, name
    told = set(lines)
    assert {name for name in tests if name not in told and name.partition("[")[0] not in told} == set()
