"""A model's folder: data alone, every file pinned."""

from __future__ import annotations

from pathlib import Path

import pytest

from classifiers.base import ClassifierArtefact
from classifiers.guards.folder import check_folder, pins_of


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Files such as a model has, and a hidden one."""
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')
    (tmp_path / "model.safetensors").write_bytes(b"\x00" * (3 << 20))
    (tmp_path / ".gitattributes").write_text("x")
    return tmp_path


def test_what_is_pinned_is_accepted(folder: Path) -> None:
    """Hidden files are nobody's business; the others are pinned by their digests."""
    pins = pins_of(folder)
    assert list(pins) == ["config.json", "model.safetensors"]
    check_folder(folder, pins)


def test_another_digest_is_refused(folder: Path) -> None:
    """One byte of difference is named."""
    pins = pins_of(folder)
    (folder / "model.safetensors").write_bytes(b"\x00" * (3 << 20) + b"\x01")
    with pytest.raises(ClassifierArtefact, match=r"model\.safetensors has sha256"):
        check_folder(folder, pins)


def test_one_file_more_or_less_is_refused(folder: Path) -> None:
    """An adapter that nobody pinned would change the model; a pin without a file is a fault too."""
    pins = pins_of(folder)
    with pytest.raises(ClassifierArtefact, match=r"extra\.json"):
        check_folder(folder, pins | {"extra.json": "0"})
    (folder / "adapter_config.json").write_text("{}")
    with pytest.raises(ClassifierArtefact, match=r"adapter_config\.json"):
        check_folder(folder, pins)


@pytest.mark.parametrize(
    "name", ["pytorch_model.bin", "model.pt", "modeling.py", "model.pkl", "tf_model.h5", "run.sh", "noending"]
)
def test_what_could_run_is_refused(folder: Path, name: str) -> None:
    """Pickles and code are refused even when somebody pinned them."""
    (folder / name).write_bytes(b"x")
    for act in (pins_of, lambda at: check_folder(at, {})):
        with pytest.raises(ClassifierArtefact, match=name.replace(".", r"\.")):
            act(folder)


def test_code_by_reference_is_refused(folder: Path) -> None:
    """A configuration that names code of its own is refused, and so is one that is not JSON."""
    config = folder / "config.json"
    for content, word in (('{"auto_map": {}}', "code"), ("{", "JSON")):
        config.write_text(content)
        with pytest.raises(ClassifierArtefact, match=word):
            check_folder(folder, pins_of(folder))


def test_folders_and_nothing(folder: Path, tmp_path: Path) -> None:
    """A folder within and a folder that is not there are refused."""
    (folder / "original").mkdir()
    with pytest.raises(ClassifierArtefact, match="folder"):
        pins_of(folder)
    with pytest.raises(ClassifierArtefact, match="cannot be read"):
        pins_of(tmp_path / "nowhere")
