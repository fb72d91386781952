"""Runs targets under atheris, two at a time, shows their progress, and tells what came of each."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from loadtests.fuzz import ROOT
from loadtests.fuzz.damage import WORDS
from loadtests.fuzz.targets import Target

_STATUS = re.compile(r"#(\d+)\s+(\w+)\s+cov: (\d+) ft: (\d+) corp: (\d+)")
_DONE = re.compile(r"stat::number_of_executed_units:\s*(\d+)")
MOST = 16_384  # bytes of an input
SLACK = 60.0  # seconds beyond its time in which a hunt must have ended


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a hunt did. ``covered`` and ``seeded``: instrumented places of the gateway reached at the end, and by the seeds alone."""

    target: str
    seconds: float
    executions: int
    seeded: int
    covered: int
    inputs: int
    crash: str  # the file with the input, "" for none
    log: Path


def run(targets: Sequence[Target], seconds: int, folder: Path, *, at_once: int = 2) -> list[Outcome]:
    """All of them, in their order."""
    with ThreadPoolExecutor(at_once) as pool:
        return list(pool.map(lambda each: hunt(each, seconds, folder / each.name), targets))


def hunt(target: Target, seconds: int, folder: Path) -> Outcome:
    """One target. Its corpus stays in the folder and is the start of the next hunt."""
    corpus, seeds, crashes = (folder / name for name in ("corpus", "seeds", "crashes"))
    for each in (corpus, seeds, crashes):
        each.mkdir(parents=True, exist_ok=True)
    for number, data in enumerate(target.seeds()):
        (seeds / f"{number:03d}").write_bytes(data)
    words = folder / "words"
    words.write_text("".join(f'"{escaped(word)}"\n' for word in WORDS if word))
    given = [f"-max_total_time={seconds}", f"-max_len={MOST}", "-timeout=20", "-rss_limit_mb=1024", "-print_final_stats=1",
             f"-dict={words}", f"-artifact_prefix={crashes}/", str(corpus), str(seeds)]  # fmt: skip
    log, began = folder / "log", time.monotonic()
    with log.open("w") as file:
        command = [sys.executable, "-m", "loadtests.fuzz.hunt", target.name, *given]
        process = subprocess.Popen(command, cwd=ROOT, stdout=file, stderr=subprocess.STDOUT)
        try:
            watched(process, target.name, log, seconds + SLACK)
        finally:
            process.kill()
            process.wait()
    return outcome(target.name, time.monotonic() - began, log, failed=process.returncode != 0)


def watched(process: subprocess.Popen[bytes], name: str, log: Path, seconds: float) -> None:
    """Wait for the end, and say now and then how far it is. Raises TimeoutExpired."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            seen = _STATUS.findall(log.read_text(errors="replace"))
            if seen:
                print(
                    f"   {name}: {seen[-1][0]} executions, {seen[-1][2]} places reached, {seen[-1][4]} inputs kept",
                    flush=True,
                )
        else:
            return
    raise subprocess.TimeoutExpired(name, seconds)


def escaped(word: str) -> str:
    """A word in the form of libFuzzer's dictionaries."""
    return "".join(chr(byte) if 32 <= byte < 127 and byte not in b'"\\' else f"\\x{byte:02x}" for byte in word.encode())


def outcome(name: str, seconds: float, log: Path, *, failed: bool) -> Outcome:
    """What the log says."""
    text = log.read_text(errors="replace")
    seen = _STATUS.findall(text)
    begun = next((status for status in seen if status[1] == "INITED"), seen[0] if seen else ("0", "", "0", "0", "0"))
    last = seen[-1] if seen else begun
    done = _DONE.search(text)
    crash = re.search(r"Test unit written to (\S+)", text)
    told = crash[1] if crash else f"see {log}" if failed else ""
    return Outcome(
        name, seconds, int(done[1] if done else last[0]), int(begun[2]), int(last[2]), int(last[4]), told, log
    )


def table(outcomes: Sequence[Outcome]) -> str:
    """Markdown."""
    rows = [
        (
            each.target,
            f"{each.seconds:.0f}",
            f"{each.executions:,}",
            each.seeded,
            each.covered,
            each.inputs,
            each.crash or "none",
        )
        for each in outcomes
    ]
    heads = ("target", "seconds", "executions", "places reached by the seeds", "at the end", "inputs kept", "crash")
    lines = [heads, ("---",) * len(heads), *rows]
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines)
