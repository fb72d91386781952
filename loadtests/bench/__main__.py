"""``python -m loadtests.bench``: measure side by side, print, and write ``evidence/bench.md``, ``.json`` and a plot."""

from __future__ import annotations

import argparse
import contextlib
import itertools
import os
import signal
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from loadtests.bench import report
from loadtests.bench.contestants import ALL, LITELLM, Contestant, Place, Proxy
from loadtests.bench.matter import write
from loadtests.bench.measures import FULL, MEASURES, QUICK, Bench
from loadtests.bench.quiet import Quiet
from loadtests.bench.results import Results
from loadtests.bench.tools import compiled, missing, upstream
from loadtests.rig import ROOT, RigFailed, cores

CACHE = ROOT / ".cache"
PLOTTER = CACHE / "bench" / "bin" / "python"


def main(arguments: list[str] | None = None) -> int:
    """Exit code 0 when all was measured, whatever the bars say; 1 when something could not be."""
    given = _parser().parse_args(arguments)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that everything that was started is ended
    if given.nice:
        _favour(given.nice)
    chosen = [who for who in ALL if who.id in given.only]
    console = Console(stderr=True)
    if lacking := missing(("gcc", "wrk", "taskset", *itertools.chain(*(who.needs for who in chosen)))):
        console.print(f"missing on this machine: apt-get install {' '.join(lacking)}")
        return 1
    results = _run(given, chosen, console)
    print(report.markdown(results))
    drawn = report.plot(given.out, given.plotter)
    console.print(f"written: {given.out}.md, .json{', .png' if drawn else ' (no picture without `make bench-setup`)'}")
    return 1 if results.faults else 0


def _run(given: argparse.Namespace, chosen: list[Contestant], console: Console) -> Results:
    """Measure in a folder of its own, and write what was measured, also when it ends early."""
    CACHE.mkdir(exist_ok=True)
    # Beside the sources: the system's folder for temporary files may be memory, and the ledger is to be on a disk.
    with tempfile.TemporaryDirectory(prefix="run-", dir=CACHE) as name:
        folder = Path(name)
        matter, tools = write(folder), compiled(folder)
        results = Results(report.setting(given.litellm, folder), {}, [])
        with upstream(tools, matter.tokens, given.client_core) as port:
            place = Place(port, matter.rules, folder, given.proxy_core, given.litellm)
            bench = Bench(tools, matter, place, folder, QUICK if given.quick else FULL, given.client_core)
            try:
                with Quiet(given.lock) as quiet:
                    _measure(bench, chosen, given, results, quiet, console)
            finally:
                report.write(results, given.out)
    return results


def _favour(nice: int) -> None:
    """Take a nice value; the processes that are started have it too."""
    os.nice(nice)
    # Linux weighs sessions before processes: in a session of our own the value counts against those of others too.
    with contextlib.suppress(OSError):  # we lead a group, or there are no such weights
        os.setsid()
        Path("/proc/self/autogroup").write_text(str(nice))


def _parser() -> argparse.ArgumentParser:
    first, last = cores()
    names, kinds = [who.id for who in ALL], list(MEASURES)
    parser = argparse.ArgumentParser(prog="python -m loadtests.bench", description=__doc__)
    parser.add_argument("--only", nargs="+", choices=names, default=names, help="contestants")
    parser.add_argument("--measures", nargs="+", choices=kinds, default=kinds, help="what to measure")
    parser.add_argument("--rounds", type=int, default=5, help="rounds; the report gives median, least and most")
    parser.add_argument("--quick", action="store_true", help="one round of tiny counts: does the harness work?")
    parser.add_argument("--lock", type=Path, help="hold this lock file, some minutes at a time, while measuring")
    parser.add_argument("--nice", type=int, default=0, help="of all processes; below 0 on a machine that others use")
    parser.add_argument("--litellm", type=Path, default=LITELLM, help="virtual environment that has litellm[proxy]")
    parser.add_argument("--plotter", type=Path, default=PLOTTER, help="Python that has matplotlib")
    parser.add_argument("--client-core", type=int, default=first, help="core of the model server and the clients")
    parser.add_argument("--proxy-core", type=int, default=last, help="core of whoever is measured")
    parser.add_argument(
        "--out", type=Path, default=ROOT / "evidence" / "bench", help="where to write, without extension"
    )
    return parser


def _measure(
    bench: Bench,
    chosen: list[Contestant],
    given: argparse.Namespace,
    results: Results,
    quiet: Quiet,
    console: Console,
) -> None:
    """All rounds, contestants taking turns in each, so that a slow minute of the machine meets all."""
    wanted = [name for name in MEASURES if name in given.measures]
    rounds = 1 if given.quick else given.rounds
    with contextlib.ExitStack() as running:
        proxies: dict[str, Proxy] = {}
        for who in chosen:
            console.print(f"starting {who.title}")
            try:
                proxies[who.id] = running.enter_context(who.start(bench.place))
            except RigFailed as error:
                results.faults.append(f"{who.title}: {error}")
                console.print(f"  failed: {error}")
        with _progress(console) as progress:
            salts = itertools.count(1)
            task = progress.add_task("measuring", total=len(wanted) * rounds * len(proxies))
            for name in wanted:
                for number, who in itertools.product(range(rounds), chosen):
                    if who.id in proxies:
                        quiet.turn()
                        _round(bench, who, proxies[who.id], name, number, next(salts), results, console)
                        progress.advance(task)


def _round(
    bench: Bench, who: Contestant, proxy: Proxy, name: str, number: int, salt: int, results: Results, console: Console
) -> None:
    shape = bench.shape if number == 0 else replace(bench.shape, warm_up=0)
    try:
        figures = MEASURES[name](replace(bench, shape=shape), who, proxy, salt)
    except RigFailed as error:
        results.faults.append(f"{who.title}, {name}: {error}")
        console.print(f"  failed: {who.id} {name}: {error}")
        return
    results.add(who.id, name, number, figures)
    shown = ", ".join(f"{key} {value:,.1f}" for key, value in figures.items())
    console.print(f"{name} {number + 1} {who.id}: {shown}")


def _progress(console: Console) -> Progress:
    return Progress(
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), console=console
    )


if __name__ == "__main__":
    sys.exit(main())
