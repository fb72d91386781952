"""Processor time and memory are those of a process and its children."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import pytest

from loadtests.bench import meters

# Busy for a tenth of a second of processor time in a child, then says so and waits.
CHILD = (
    "import time\nwhile time.process_time() < 0.1: pass\nkept = bytearray(32 << 20)\nprint('done', flush=True)\ninput()"
)
PARENT = f"import subprocess, sys\nsubprocess.run([sys.executable, '-c', {CHILD!r}])"


@pytest.fixture
def parent() -> Iterator[int]:
    """A process whose child has worked and holds 32 MiB."""
    with subprocess.Popen([sys.executable, "-c", PARENT], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        assert process.stdout.readline() == b"done\n"
        yield process.pid
        process.stdin.close()


def test_children_count(parent: int) -> None:
    """Time and memory that a child used belong to the process that is measured."""
    assert len(meters.family(parent)) == 2
    assert meters.cpu_seconds(parent) >= 0.1
    resident, proportional = meters.memory(parent)
    assert resident >= proportional >= 32 << 20
