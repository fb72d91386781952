"""Level files: five of them, each for its level, all faults at once."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from gateway.settings.faults import ConfigInvalid
from gateway.settings.levels import read_levels
from gateway.settings.load import builtin_dir


def test_built_in_files_load() -> None:
    """One file a level, in order."""
    assert [level.asl for level in read_levels(builtin_dir() / "levels")] == [1, 2, 3, 4, 5]


def test_faults_of_all_files_come_together(tmp_path: Path) -> None:
    """A wrong level, an unknown key and a missing file are one report."""
    shutil.copytree(builtin_dir() / "levels", tmp_path, dirs_exist_ok=True)
    (tmp_path / "asl-1.yaml").write_text("asl: 2\nsummary: x\n")
    (tmp_path / "asl-2.yaml").write_text("asl: 2\nsummary: x\ngruops: []\n")
    (tmp_path / "asl-5.yaml").unlink()
    with pytest.raises(ConfigInvalid) as error:
        read_levels(tmp_path)
    messages = [str(fault) for fault in error.value.faults]
    assert len(messages) == 3
    assert "says 2" in messages[0]
    assert "did you mean 'groups'" in messages[1]
    assert "No such file" in messages[2]
