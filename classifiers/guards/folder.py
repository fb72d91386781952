"""A folder with a model of somebody else: only data, every file pinned, nothing that would run."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from classifiers.base import ClassifierArtefact

# Tensors, vocabularies and settings. Pickles (.bin, .pt, .pkl, .h5 ...) and code run what they hold.
DATA: Final = frozenset({".safetensors", ".json", ".txt", ".model", ".jinja", ".md"})
_CHUNK: Final = 1 << 20


def pins_of(folder: Path) -> dict[str, str]:
    """File name to sha256 of everything in the folder but hidden files. Raises ClassifierArtefact as ``check_folder``."""
    return {path.name: _sha256(path) for path in _files(folder)}


def check_folder(folder: Path, pins: Mapping[str, str]) -> None:
    """Raises ClassifierArtefact unless the folder holds exactly the pinned files, with their digests, and nothing that could run."""
    files = {path.name: path for path in _files(folder)}
    if files.keys() != pins.keys():
        names = ", ".join(sorted(files.keys() ^ pins.keys()))
        raise ClassifierArtefact(f"{folder.name}: pinned and present files differ: {names}")
    for name, path in files.items():
        found = _sha256(path)
        if found != pins[name]:
            raise ClassifierArtefact(f"{name} has sha256 {found}, pinned is {pins[name]}")
        if path.suffix == ".json":
            _no_code(path)


def _files(folder: Path) -> list[Path]:
    try:
        entries = sorted(entry for entry in folder.iterdir() if not entry.name.startswith("."))
    except OSError as error:
        raise ClassifierArtefact(f"{folder.name} cannot be read: {error.strerror}") from error
    for entry in entries:
        if entry.is_dir():
            raise ClassifierArtefact(f"{entry.name} is a folder; a model's files stand beside each other")
        if entry.suffix not in DATA:
            raise ClassifierArtefact(f"{entry.name} is no kind of file that is data alone ({', '.join(sorted(DATA))})")
    return entries


def _sha256(path: Path) -> str:
    try:
        with path.open("rb") as file:
            digest = hashlib.sha256()
            while chunk := file.read(_CHUNK):
                digest.update(chunk)
    except OSError as error:
        raise ClassifierArtefact(f"{path.name} cannot be read: {error.strerror}") from error
    return digest.hexdigest()


def _no_code(path: Path) -> None:
    """``auto_map`` names Python files that a loader would fetch and run."""
    try:
        content = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise ClassifierArtefact(f"{path.name} is not JSON") from error
    if isinstance(content, dict) and "auto_map" in content:
        raise ClassifierArtefact(f"{path.name} asks for code of the model's own")
