"""A guard from a TOML file, for the command line: the fields of ``Guard``, with the same names."""

from __future__ import annotations

import tomllib
from dataclasses import fields
from pathlib import Path

import msgspec

from classifiers.base import ClassifierArtefact
from classifiers.guards.spec import Guard


def read_guard(path: Path) -> Guard:
    """Raises ClassifierArtefact, naming what is wrong. A relative ``folder`` is relative to the file."""
    try:
        data = tomllib.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise ClassifierArtefact(f"{path.name} cannot be read: {error}") from error
    if strange := data.keys() - {field.name for field in fields(Guard)}:
        raise ClassifierArtefact(f"{path.name}: unknown {', '.join(sorted(strange))}")
    if isinstance(data.get("folder"), str):
        data["folder"] = str(path.parent / data["folder"])
    try:
        return msgspec.convert(data, Guard)
    except msgspec.ValidationError as error:
        raise ClassifierArtefact(f"{path.name}: {error}") from error
