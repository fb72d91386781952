"""A folder of shipped weights: ``card.json`` pins every other file by sha256, and the catalogue pins the card."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from classifiers.base import Card, ClassifierArtefact

CARD_FILE: Final = "card.json"
MODEL_FILE: Final = "model.int8.onnx"
TOKENIZER_FILE: Final = "tokenizer.json"
HEAD_FILE: Final = "head.json"


@dataclass(frozen=True, slots=True)
class Canaries:
    """Texts that the weights must tell apart at start-up, with the category whose block threshold divides them."""

    category: str
    good: tuple[str, ...]
    bad: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Artefacts:
    """A verified folder: the card, its files' contents by name, the canaries, and the special tokens around a window."""

    card: Card
    files: Mapping[str, bytes]
    canaries: Canaries
    special_tokens: tuple[int, int]


def read_bytes(path: Path) -> bytes:
    """The content of ``path``. Raises ClassifierArtefact."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise ClassifierArtefact(f"{path.name} cannot be read: {error.strerror}") from error


def check_digest(name: str, content: bytes, sha256: str) -> bytes:
    """``content``, if it has the pinned digest. Raises ClassifierArtefact."""
    found = hashlib.sha256(content).hexdigest()
    if found != sha256:
        raise ClassifierArtefact(f"{name} has sha256 {found}, pinned is {sha256}")
    return content


def load_artefacts(folder: Path, card_sha256: str) -> Artefacts:
    """Read and verify ``folder``; nothing is used before its digest agrees. Raises ClassifierArtefact."""
    content = check_digest(CARD_FILE, read_bytes(folder / CARD_FILE), card_sha256)
    try:
        stored = json.loads(content)
        pins: Mapping[str, str] = stored["files"]
        files = {name: check_digest(name, read_bytes(folder / name), pin) for name, pin in pins.items()}
        first, last = stored["special_tokens"]
        return Artefacts(parse_card(stored, card_sha256), MappingProxyType(files), _canaries(stored), (first, last))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ClassifierArtefact(f"{CARD_FILE} is not a card: {error!r}") from error


def load_card(folder: Path, card_sha256: str) -> Card:
    """The verified card of ``folder``, without its other files. Raises ClassifierArtefact."""
    return load_test(folder, card_sha256)[0]


def load_test(folder: Path, card_sha256: str) -> tuple[Card, Canaries]:
    """The verified card of ``folder`` and its canaries, without its other files. Raises ClassifierArtefact."""
    content = check_digest(CARD_FILE, read_bytes(folder / CARD_FILE), card_sha256)
    try:
        stored = json.loads(content)
        return parse_card(stored, card_sha256), _canaries(stored)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ClassifierArtefact(f"{CARD_FILE} is not a card: {error!r}") from error


def parse_card(stored: Mapping[str, Any], digest: str) -> Card:
    """The card from its stored form. Raises KeyError, TypeError or ValueError when a field is missing or of another kind."""
    thresholds = {str(name): float(value) for name, value in stored["thresholds"].items()}
    return Card(
        id=str(stored["id"]),
        version=str(stored["version"]),
        categories=tuple(stored["categories"]),
        thresholds=MappingProxyType(thresholds),
        window_tokens=int(stored["window_tokens"]),
        stride_tokens=int(stored["stride_tokens"]),
        digest=digest,
    )


def _canaries(stored: Mapping[str, Any]) -> Canaries:
    canaries = stored["canaries"]
    return Canaries(str(canaries["category"]), tuple(canaries["good"]), tuple(canaries["bad"]))
