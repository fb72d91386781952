from __future__ import annotations

from pathlib import Path

import pytest

from gateway.settings.calibrated import with_threshold, write_levels
from gateway.settings.faults import ConfigInvalid
from gateway.settings.ladder import read_levels
from gateway.settings.load import builtin_dir

BUILTIN = builtin_dir() / "levels"


def test_the_threshold_counts_from_where_the_control_acts(tmp_path: Path) -> None:
    """The built-in levels with a threshold are taken as they are; it holds at every level from ASL-3 on, and comments stay."""
    changed = write_levels(BUILTIN, tmp_path / "levels", "input_screen", 640)
    assert changed.name == "asl-3.yaml"
    levels = read_levels(tmp_path / "levels", floor=read_levels(BUILTIN))
    assert [level.thresholds.get("input_screen") for level in levels] == [None, None, 640, 640, 640]
    assert "# 32-token windows" in changed.read_text()


def test_a_second_calibration_replaces_the_first() -> None:
    """The control has one threshold; the others keep theirs."""
    text = with_threshold("asl: 3\nthresholds: {input_screen: 700, output_screen: 800}\n", "input_screen", 640)
    assert text == "asl: 3\nthresholds: {input_screen: 640, output_screen: 800}\n"


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    """A directory that holds something is refused."""
    (tmp_path / "mine").write_text("")
    with pytest.raises(ConfigInvalid, match="is not empty"):
        write_levels(BUILTIN, tmp_path, "input_screen", 640)


def test_an_unknown_control_and_an_invalid_threshold(tmp_path: Path) -> None:
    """A control that no level asks is refused; a threshold that no level file may hold leaves nothing behind."""
    with pytest.raises(ConfigInvalid, match="no level asks 'poetry'"):
        write_levels(BUILTIN, tmp_path / "levels", "poetry", 640)
    with pytest.raises(ConfigInvalid):
        write_levels(BUILTIN, tmp_path / "levels", "input_screen", 1001)
    assert not (tmp_path / "levels").exists()
