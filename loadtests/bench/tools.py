"""The programs that a measurement is made with: two of our own in C, wrk and nginx from the distribution."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from loadtests.rig import RigFailed, pinned

HERE = Path(__file__).parent
LUA = HERE / "unary.lua"
NEEDED = {"gcc": "gcc libc6-dev", "wrk": "wrk", "nginx": "nginx-light", "taskset": "util-linux"}


@dataclass(frozen=True, slots=True)
class Tools:
    """Where the compiled programs are."""

    upstream: Path
    sse: Path


def missing(names: tuple[str, ...]) -> list[str]:
    """Debian packages of the programs that are not on this machine."""
    return [NEEDED[name] for name in names if program(name) is None]


def program(name: str) -> str | None:
    """The path of a program, also where only an administrator's path has it."""
    return shutil.which(name) or shutil.which(name, path="/usr/sbin:/usr/local/sbin")


def compiled(folder: Path) -> Tools:
    """Compile both programs into a folder. Raises RigFailed with what the compiler said."""
    made = Tools(folder / "upstream", folder / "sse")
    for target in (made.upstream, made.sse):
        source = HERE / f"{target.name}.c"
        done = subprocess.run(
            ["gcc", "-O2", "-Wall", "-Wextra", "-o", str(target), str(source)],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise RigFailed(f"{source.name} does not compile: {done.stderr}")
    return made


@contextlib.contextmanager
def upstream(tools: Tools, tokens: Path, core: int) -> Iterator[int]:
    """The scripted model server; its port."""
    command = [*pinned(core), str(tools.upstream), str(tokens)]
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline().strip()
            if not line:
                raise RigFailed("the scripted model server did not start")
            yield int(line)
        finally:
            process.kill()
