"""A guard's file for the command line."""

from __future__ import annotations

from pathlib import Path

import pytest

from classifiers.base import ClassifierArtefact
from classifiers.guards.files import read_guard

REMOTE = """
id = "lg3"
kind = "vllm"
model = "meta-llama/Llama-Guard-3-8B"
family = "llama-guard"
urls = ["http://127.0.0.1:8001"]
thresholds = {cbrn = 0.4}
seconds = 5
"""
LOCAL = """
id = "local"
kind = "transformer"
folder = "model"
categories = {fine = "none", harm = "cbrn"}
[pins]
"config.json" = "00"
"""


def test_a_file_is_a_guard(tmp_path: Path) -> None:
    """Names and kinds are those of the dataclass."""
    path = tmp_path / "guard.toml"
    path.write_text(REMOTE)
    guard = read_guard(path)
    assert (guard.id, guard.urls, guard.seconds) == ("lg3", ("http://127.0.0.1:8001",), 5.0)
    assert guard.card.thresholds["cbrn.block"] == 0.4


def test_a_folder_is_beside_its_file(tmp_path: Path) -> None:
    """From wherever the command is run."""
    path = tmp_path / "guard.toml"
    path.write_text(LOCAL)
    assert read_guard(path).folder == str(tmp_path / "model")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("= 1", "cannot be read"),
        ("id = 1", "Expected `str`"),
        ('id = "a"', "missing"),
        (REMOTE + "treshold = 1", "unknown treshold"),
        (REMOTE.replace("vllm", "pigeon"), "kind|Invalid enum"),
        (REMOTE.replace("llama-guard", "lama-guard"), "family 'lama-guard'"),
    ],
)
def test_faults_are_named(tmp_path: Path, content: str, message: str) -> None:
    """What is wrong stands in the error, with the file's name."""
    path = tmp_path / "guard.toml"
    path.write_text(content)
    with pytest.raises(ClassifierArtefact, match=message) as error:
        read_guard(path)
    assert "guard.toml" in str(error.value)
    with pytest.raises(ClassifierArtefact):
        read_guard(tmp_path / "nowhere.toml")
