"""YAML with places: what is wrong is found where it stands."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.settings.documents import Document, dotted, read, validate
from gateway.settings.faults import ConfigInvalid
from gateway.settings.model import Settings


def parse(tmp_path: Path, text: str | bytes) -> Document:
    """A document from text."""
    path = tmp_path / "g.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read(path)


def test_places_are_of_keys_and_items(tmp_path: Path) -> None:
    """Lines and columns count from 1; plain data comes out."""
    document = parse(tmp_path, "a: 1\nb:\n  - x: 2027-01-02\n    y: [1.5, true, null]\n")
    assert document.places["a",] == (1, 1)
    assert document.places["b", 0] == (3, 5)
    assert document.places["b", 0, "y", 2] == (4, 20)
    assert document.place(("b", 0, "nowhere", 7)) == (3, 5)
    assert document.place(("nowhere",)) == (0, 0)
    assert type(document.data["a"]) is int


def test_dotted_paths() -> None:
    """models[0].upstream.url."""
    assert dotted(("models", 0, "upstream", "url")) == "models[0].upstream.url"
    assert dotted(()) == ""


@pytest.mark.parametrize(
    ("text", "says", "line"),
    [
        ("a: 1\na: 2\n", "twice", 2),
        ("a: [1\n", "not valid YAML", 2),
        ("a: \t- b\n  c", "not valid YAML", None),
        (b"a: \xff\n", "not UTF-8", 0),
    ],
)
def test_what_is_not_a_document_is_said(tmp_path: Path, text: str | bytes, says: str, line: int | None) -> None:
    """Syntax, duplicate keys and encodings are faults with a place."""
    with pytest.raises(ConfigInvalid) as error:
        parse(tmp_path, text)
    (fault,) = error.value.faults
    assert says in fault.message
    assert line is None or fault.line == line


def test_a_missing_file_is_said(tmp_path: Path) -> None:
    """The reason is the operating system's."""
    with pytest.raises(ConfigInvalid, match="No such file"):
        read(tmp_path / "none.yaml")


def test_every_finding_is_reported_at_its_place(tmp_path: Path) -> None:
    """Unknown keys at any depth come with a guess; wrong values and missing keys with their path."""
    text = """
listen: {adress: x}
limits: {body: 8XB}
models:
  - name: m
    asl: asl-9
    upstream: {url: ftp://x, dialect: [a]}
nonsense: {a: {b: 1}}
state: {wrong: 1}
"""
    with pytest.raises(ConfigInvalid) as error:
        validate(Settings, parse(tmp_path, text))
    found = {fault.key: fault for fault in error.value.faults}
    assert found["listen.adress"].suggestion == "address"
    assert (found["listen.adress"].line, found["listen.adress"].column) == (2, 10)
    assert "size" in found["limits.body"].message
    assert found["models[0].upstream.dialect"].suggestion == "dialects"
    assert found["models[0].asl"].line == 6
    assert found["listen.address"].message == "is missing"
    assert found["nonsense"].message == "unknown key"


def test_keys_that_are_no_words_and_lists_of_models_are_placed(tmp_path: Path) -> None:
    """A number as a key is unknown, with no guess; inside a list of models the guess is of the model's keys."""
    text = "models:\n  - {name: m, asl: 3, upstream: {url: http://x, key: {enf: A}}}\n7: x\n"
    with pytest.raises(ConfigInvalid) as error:
        validate(Settings, parse(tmp_path, text))
    found = {fault.key: fault for fault in error.value.faults}
    assert found["models[0].upstream.key.enf"].suggestion == "env"
