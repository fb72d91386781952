"""Mutation testing of what decides and what is parsed: ``python -m loadtests.mutants --minutes 25``.

mutmut makes the mutants and finds out which tests reach which (``[tool.mutmut]``); they are tested here, since mutmut's own runs fail in
this tree (pytest's exit code 4 for its lists of tests). Each mutant meets the twin tests of its file; if it survives them, every test
of the three rooms that reaches it. Property tests are cut to 80 examples. A sample is drawn: all mutants of the hold-back machine and
the verdicts, a share of those of the parsers. What runs when a module is imported is not mutated. A run that was cut short is continued
by the next one; ``--fresh`` begins anew.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from random import Random
from typing import Any

ROOT = Path(__file__).parents[1]
MUTANTS = ROOT / "mutants"
WHOLE = ("gateway.verdict", "gateway.screening")
ROOMS = ("tests/gateway/test_verdict.py", "tests/gateway/screening", "tests/gateway/wire")
NOBODY = "gateway.nothing.*"
EXAMPLES = 80
CPU_SECONDS = 40


def make() -> None:
    """Let mutmut write the mutants into ``mutants/``, and run the tests once to see which reach which."""
    command = [str(Path(sys.executable).parent / "mutmut"), "run", "--max-children", "1", NOBODY]
    subprocess.run(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)


def names() -> list[str]:
    """All mutants."""
    found: list[str] = []
    for path in sorted(MUTANTS.rglob("*.meta")):
        found += json.loads(path.read_text())["exit_code_by_key"]
    return sorted(found)


def sample(every: list[str], share: float, seed: int) -> list[str]:
    """The mutants to test."""
    rest = [name for name in every if not name.startswith(WHOLE)]
    drawn = Random(seed).sample(rest, round(len(rest) * share))
    found = [*(name for name in every if name.startswith(WHOLE)), *drawn]
    return Random(seed).sample(found, len(found))  # mixed, so that a run that is cut short is a sample too


class Only:
    """A pytest plugin: only these tests, the quick ones first, and fewer examples of properties."""

    def __init__(self, wanted: set[str], seconds: dict[str, float]) -> None:
        self._wanted = wanted
        self._seconds = seconds

    def pytest_collection_modifyitems(self, items: list[Any]) -> None:
        """Cut and sort."""
        import hypothesis

        items[:] = [item for item in items if not self._wanted or item.nodeid in self._wanted]
        items.sort(key=lambda item: self._seconds.get(item.nodeid, 0.0))
        for item in items:
            given = getattr(item.obj, "_hypothesis_internal_use_settings", None)
            if given is not None:
                few = min(given.max_examples, EXAMPLES)
                item.obj._hypothesis_internal_use_settings = hypothesis.settings(  # noqa: SLF001  # there is no public way
                    given, max_examples=few, database=None, derandomize=True
                )


def pytested(arguments: list[str], *plugins: Only) -> int:
    """pytest in this process, silent, in the folder of the mutants; its exit code."""
    import pytest

    nowhere = os.open(os.devnull, os.O_WRONLY)
    kept = os.dup(1), os.dup(2)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)
    try:
        quiet = ["-q", "-p", "no:cacheprovider", "-W", "ignore::pytest.PytestAssertRewriteWarning", "--rootdir=."]
        return int(pytest.main([*quiet, *arguments], plugins=list(plugins)))
    finally:
        os.dup2(kept[0], 1)
        os.dup2(kept[1], 2)


def warm() -> None:
    """Import all tests and what they test, so that a fork can begin at once. Mutants are chosen when their function is called."""
    os.environ["MUTANT_UNDER_TEST"] = ""
    os.chdir(MUTANTS)
    sys.path.insert(0, str(MUTANTS))
    if code := pytested(["--collect-only", *ROOMS]):
        sys.exit(f"the tests cannot be collected in {MUTANTS}: exit code {code}")


def tested(name: str, files: list[str], wanted: set[str], seconds: dict[str, float]) -> int:
    """Fork, and run tests with this mutant in force; the process id."""
    child = os.fork()
    if child:
        return child
    with contextlib.suppress(BaseException):
        resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS + 5))
        os.environ["MUTANT_UNDER_TEST"] = name
        os._exit(pytested(["-x", *files], Only(wanted, seconds)))
    os._exit(99)


def result(status: int) -> str:
    """What became of a mutant."""
    if os.WIFSIGNALED(status):
        return "timed out"
    code = os.WEXITSTATUS(status)
    return {0: "survived", 5: "survived", 1: "killed", 2: "killed"}.get(code, f"no result ({code})")


class Campaign:
    """Tests mutants until they are done or the time is over, and writes down what is known after each."""

    def __init__(self, children: int, end: float) -> None:
        stats = json.loads((MUTANTS / "mutmut-stats.json").read_text())
        self._reach: dict[str, list[str]] = stats["tests_by_mangled_function_name"]
        self._seconds: dict[str, float] = stats["duration_by_test"]
        self._file = MUTANTS / "results.json"
        self.results: dict[str, str] = json.loads(self._file.read_text()) if self._file.exists() else {}
        self._children, self._end = children, end
        self._running: dict[int, tuple[str, bool]] = {}

    def run(self, drawn: list[str]) -> None:
        """All that are not known."""
        left = [name for name in drawn if name not in self.results]
        while (left or self._running) and time.monotonic() < self._end:
            while left and len(self._running) < self._children:
                self._start(left.pop(0), twins=True)
            self._reap()
        for pid in self._running:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)

    def check(self) -> None:
        """Without a mutant all tests pass, and with mutmut's mutant that always fails they do not."""
        for name, wanted in (("", "survived"), ("fail", "killed")):
            pid = tested(name, list(ROOMS), set(), self._seconds)
            if (found := result(os.waitpid(pid, 0)[1])) != wanted:
                sys.exit(f"the tests cannot tell mutants apart: {name or 'no mutant'}: {found}")

    def _start(self, name: str, *, twins: bool) -> None:
        module, _, function = name.rpartition("__mutmut_")[0].partition(".x")
        reach = set(self._reach.get(f"{module}.x{function}", ()))
        twin = f"tests/{module.replace('.', '/').removesuffix('/__init__')}"
        twin = f"{twin.rpartition('/')[0]}/test_{twin.rpartition('/')[2]}.py"
        wanted = {test for test in reach if test.startswith(twin) == twins}
        if not wanted:
            self._settle(name, twins, "survived" if reach else "no test reaches it")
            return
        files = sorted({test.partition("::")[0] for test in wanted})
        self._running[tested(name, files, wanted, self._seconds)] = (name, twins)

    def _reap(self) -> None:
        if not self._running:
            return
        pid, status = os.waitpid(-1, 0)
        name, twins = self._running.pop(pid)
        self._settle(name, twins, result(status))

    def _settle(self, name: str, twins: bool, found: str) -> None:
        if twins and found == "survived":
            self._start(name, twins=False)
            return
        self.results[name] = found if twins or found == "survived" else f"{found} by other tests"
        self._file.write_text(json.dumps(self.results, indent=0, sort_keys=True))


def report(drawn: list[str], found: dict[str, str]) -> str:
    """Markdown: counts by file, then everything that nobody killed."""
    counts = Counter((name.partition(".x")[0], found.get(name, "not tested")) for name in drawn)
    states = sorted({kind for _, kind in counts})
    rows = [("file", *states), ("---",) * (1 + len(states))]
    rows += [(room, *(str(counts[room, kind]) for kind in states)) for room in sorted({room for room, _ in counts})]
    rows.append(("all", *(str(sum(n for (_, each), n in counts.items() if each == kind)) for kind in states)))
    alive = [f"{name}: {found[name]}" for name in sorted(drawn) if name in found and "killed" not in found[name]]
    return "\n".join([*(f"| {' | '.join(row)} |" for row in rows), "", f"{len(alive)} not killed:", *alive])


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m loadtests.mutants", description=__doc__)
    parser.add_argument("--minutes", type=float, default=25)
    parser.add_argument("--share", type=float, default=0.1, help="of the parsers' mutants")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--children", type=int, default=1)
    parser.add_argument("--fresh", action="store_true", help="forget earlier mutants and results")
    given = parser.parse_args()
    end = time.monotonic() + given.minutes * 60
    if given.fresh:
        shutil.rmtree(MUTANTS, ignore_errors=True)
    if not (MUTANTS / "mutmut-stats.json").exists():
        print("== making the mutants, and finding which tests reach which (minutes)", flush=True)
        make()
    drawn = sample(names(), given.share, given.seed)
    warm()
    campaign = Campaign(given.children, end)
    print(
        f"== {len([n for n in drawn if n not in campaign.results])} of {len(drawn)} mutants to test, of {len(names())} in all",
        flush=True,
    )
    if not campaign.results:
        campaign.check()
    campaign.run(drawn)
    print(report(drawn, campaign.results))


if __name__ == "__main__":
    main()
