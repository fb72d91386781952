"""Level files with a calibrated threshold: a copy of a directory of levels, comments kept, checked before it is anybody's."""

from __future__ import annotations

import io
import shutil
from pathlib import Path

from ruamel.yaml import YAML

from gateway.settings.faults import ConfigInvalid, Fault
from gateway.settings.ladder import read_levels


def write_levels(source: Path, out: Path, control: str, threshold: int) -> Path:
    """Copy the levels of ``source`` to ``out`` with a threshold for a control, from the lowest level on where it judges.

    Returns the file that was changed. Raises ConfigInvalid: ``out`` holds something, no level has the control, or the levels
    would not be taken (then nothing is left in ``out``).
    """
    if out.exists() and any(out.iterdir()):
        raise ConfigInvalid([Fault(str(out), 0, 0, "", "is not empty")])
    name = _lowest(source, control)
    out.mkdir(parents=True, exist_ok=True)
    for asl in range(1, 6):
        shutil.copyfile(source / f"asl-{asl}.yaml", out / f"asl-{asl}.yaml")
    changed = out / name
    changed.write_text(with_threshold(changed.read_text(), control, threshold))
    try:
        read_levels(out, floor=read_levels(source))
    except ConfigInvalid:
        shutil.rmtree(out)
        raise
    return changed


def with_threshold(text: str, control: str, threshold: int) -> str:
    """A level file with this threshold for a control; all else stays as it stands."""
    yaml = YAML()
    yaml.width = 4096
    level = yaml.load(text)
    level.setdefault("thresholds", {})[control] = threshold
    written = io.StringIO()
    yaml.dump(level, written)
    return written.getvalue()


def _lowest(source: Path, control: str) -> str:
    for level in read_levels(source):
        if control in level.acting:
            return f"asl-{level.asl}.yaml"
    raise ConfigInvalid([Fault(str(source), 0, 0, "", f"no level asks {control!r}")])
