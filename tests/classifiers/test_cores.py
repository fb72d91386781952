from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

import pytest

from classifiers.cores import processes, usable_cores


@pytest.mark.parametrize(
    ("text", "most"),
    [
        ("100000 100000\n", 1),
        ("50000 100000\n", 1),
        ("max 100000\n", 10_000),
        ("1 0\n", 10_000),
        ("nonsense", 10_000),
        ("9900000000 100000\n", 10_000),
    ],
)
def test_a_container_has_the_cores_of_its_quota(tmp_path: Path, text: str, most: int) -> None:
    """The quota counts where it is less than the affinity; what is no quota does not; there is always one core."""
    (tmp_path / "cpu.max").write_text(text)
    assert usable_cores(tmp_path / "cpu.max") == min(len(os.sched_getaffinity(0)), most)


def test_without_a_cgroup_the_affinity_counts(tmp_path: Path) -> None:
    """No file, no quota."""
    assert usable_cores(tmp_path / "none") == len(os.sched_getaffinity(0))


@pytest.mark.parametrize(
    ("setting", "cores", "expected"),
    [("auto", 1, 0), ("auto", 3, 0), ("auto", 4, 3), ("auto", 5, 4), ("auto", 64, 4), (0, 64, 0), (3, 1, 3)],
)
def test_processes_where_cores_allow(setting: int | Literal["auto"], cores: int, expected: int) -> None:
    """Automatic means threads below four cores and one process less than cores above; a number means itself."""
    assert processes(setting, cores) == expected
