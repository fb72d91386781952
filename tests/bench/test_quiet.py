"""The lock of measurements is held alone, and given up when it was held for long."""

from __future__ import annotations

import fcntl
from pathlib import Path

import pytest

from loadtests.bench.quiet import Quiet


def held(path: Path) -> bool:
    """Whether somebody holds the lock."""
    with path.open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


@pytest.mark.parametrize("hold", [0.0, 3600.0])
def test_the_lock_is_held_until_the_end(tmp_path: Path, hold: float) -> None:
    """It is held between measurements, also after others had their turn, and free afterwards."""
    path = tmp_path / "lock"
    with Quiet(path, hold) as quiet:
        assert held(path)
        quiet.turn()
        assert held(path)
    assert not held(path)


def test_without_a_file_nothing_is_locked() -> None:
    """No lock is the default."""
    with Quiet(None) as quiet:
        quiet.turn()
