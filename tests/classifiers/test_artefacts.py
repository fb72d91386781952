from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
from support.tiny_model import write_folder

from classifiers.artefacts import load_artefacts, load_card
from classifiers.base import ClassifierArtefact


@pytest.fixture(scope="module")
def shipped(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    folder = tmp_path_factory.mktemp("tiny")
    return folder, write_folder(folder)


def test_loads_what_is_pinned(shipped: tuple[Path, str]) -> None:
    """An untouched folder gives its card and its files."""
    folder, digest = shipped
    artefacts = load_artefacts(folder, digest)
    assert artefacts.card == load_card(folder, digest)
    assert artefacts.card.digest == digest
    assert artefacts.card.thresholds["cbrn.block"] == 0.5
    assert artefacts.special_tokens == (2, 3)
    assert set(artefacts.files) == {"model.int8.onnx", "tokenizer.json", "head.json"}


@pytest.mark.parametrize("name", ["model.int8.onnx", "tokenizer.json", "head.json", "card.json"])
@pytest.mark.parametrize("place", [0, 0.5, 0.999])
def test_one_flipped_bit_is_refused(shipped: tuple[Path, str], tmp_path: Path, name: str, place: float) -> None:
    """No byte of any file of the folder can change unnoticed."""
    folder, digest = shipped
    for path in folder.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    content = bytearray((tmp_path / name).read_bytes())
    content[int(place * len(content))] ^= 1
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ClassifierArtefact, match=name.replace(".", r"\.")):
        load_artefacts(tmp_path, digest)


def test_missing_file_is_refused(shipped: tuple[Path, str], tmp_path: Path) -> None:
    """A folder without its card, or without a pinned file, is refused by name."""
    folder, digest = shipped
    with pytest.raises(ClassifierArtefact, match=r"card\.json"):
        load_card(tmp_path, digest)
    (tmp_path / "card.json").write_bytes((folder / "card.json").read_bytes())
    with pytest.raises(ClassifierArtefact, match=r"cannot be read"):
        load_artefacts(tmp_path, digest)


@pytest.mark.parametrize("content", [b"[]", b"{}", b"\xff", b'{"files": []}', b'{"files": {}, "special_tokens": [1]}'])
def test_a_pinned_card_that_is_none_is_refused(tmp_path: Path, content: bytes) -> None:
    """A digest alone makes no card."""
    (tmp_path / "card.json").write_bytes(content)
    digest = hashlib.sha256(content).hexdigest()
    with pytest.raises(ClassifierArtefact):
        load_artefacts(tmp_path, digest)
    with pytest.raises(ClassifierArtefact):
        load_card(tmp_path, digest)


def test_bad_canaries_are_refused(tmp_path: Path) -> None:
    """A card whose canaries are of another kind is refused when it is loaded."""
    digest = write_folder(tmp_path, canaries=[])
    with pytest.raises(ClassifierArtefact, match="not a card"):
        load_artefacts(tmp_path, digest)
    assert json.loads((tmp_path / "card.json").read_bytes())["canaries"] == []
