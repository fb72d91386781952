"""Reading YAML: plain data, places, and every fault of the text."""

from __future__ import annotations

import contextlib
import datetime as dt
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.config_files import faults_of, write

from gateway.settings import documents
from gateway.settings.documents import Document, Place, dotted, read
from gateway.settings.faults import ConfigInvalid


def test_data_is_plain_and_every_key_has_its_place(tmp_path: Path) -> None:
    """Kinds are those of YAML 1.2; places count from 1."""
    path = write(tmp_path / "a.yaml", "a: {b: [1, x]}\nd: 2027-05-01\ne: yes\nf: [1.5, true, null, 0x10]\n")
    found = read(path)
    assert found.data == {"a": {"b": [1, "x"]}, "d": dt.date(2027, 5, 1), "e": "yes", "f": [1.5, True, None, 16]}
    assert found.places["a", "b"] == Place(str(path), 1, 5)
    assert found.places["a", "b", 1] == Place(str(path), 1, 12)
    assert found.places[()] == Place(str(path), 1, 1)
    assert found.faults == ()


def test_an_empty_file_has_no_data(tmp_path: Path) -> None:
    """Nothing is None, without a fault: what must be there is the model's business."""
    found = read(write(tmp_path / "a.yaml", "# nothing\n"))
    assert found.data is None
    assert found.place(("x",)) == Place(str(tmp_path / "a.yaml"))


def test_every_duplicate_key_is_found_at_once(tmp_path: Path) -> None:
    """All of them are named with their places; the first of each counts."""
    found = read(write(tmp_path / "a.yaml", "a: 1\na: 2\nb: {c: 1, c: 2}\n"))
    assert [(fault.line, fault.column, fault.key, fault.message) for fault in found.faults] == [
        (2, 1, "a", "the same key twice"),
        (3, 11, "b.c", "the same key twice"),
    ]
    assert found.data == {"a": 1, "b": {"c": 1}}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1: x\n", "has a key that is not text"),
        ("{a: 1}: x\n", "has a key that is not text"),
        (
            "a: !!python/object:os.system x\n",
            "has a tag that has no meaning here: tag:yaml.org,2002:python/object:os.system",
        ),
        ("a: !secret x\n", "has a tag that has no meaning here: !secret"),
        ("a: 2027-13-45\n", "is not a value of its kind, such as a date that does not exist"),
    ],
)
def test_what_has_no_plain_form_is_a_fault(tmp_path: Path, text: str, message: str) -> None:
    """Keys that are not text, foreign tags and impossible values are named, and construct nothing."""
    assert [fault.message for fault in read(write(tmp_path / "a.yaml", text)).faults] == [message]


@pytest.mark.parametrize(
    ("text", "place", "message"),
    [
        ("a: [1\n", (2, 1), "is not valid YAML"),
        ("a: 1\n--- \nb: 2\n", (2, 1), "is not valid YAML"),
        ("a: \x07\n", (0, 0), "is not valid YAML: special characters are not allowed"),
        ("a: " + "[" * 5000, (0, 0), "is nested too deeply"),
    ],
)
def test_what_is_not_yaml_is_refused(tmp_path: Path, text: str, place: tuple[int, int], message: str) -> None:
    """A text that cannot be parsed is one fault, at its place where the parser knows it."""
    (fault,) = faults_of(lambda: read(write(tmp_path / "a.yaml", text)))
    assert (fault.line, fault.column) == place
    assert fault.message.startswith(message)


@pytest.mark.parametrize("value", ["!!bool x", "!!bool ''", "!!int ''", "!!float ''", "!!int _", "!!int +"])
def test_values_that_the_library_trips_over_are_faults(tmp_path: Path, value: str) -> None:
    """A tagged scalar that is not of its kind is a fault at its place, whatever exception the library has for it."""
    (fault,) = read(write(tmp_path / "a.yaml", f"k: {value}\n")).faults
    assert (fault.key, fault.line, fault.column) == ("k", 1, 4)
    assert fault.message.startswith("is not a value of its kind")


@pytest.mark.parametrize("text", ['a: "\\UFFFFFFFF"\n', "%YAML 1.99999999999\n---\na: 1\n"])
def test_texts_that_the_library_trips_over_are_not_yaml(tmp_path: Path, text: str) -> None:
    """An escape beyond Unicode and a version that does not exist are faults of the file, not tracebacks."""
    (fault,) = faults_of(lambda: read(write(tmp_path / "a.yaml", text)))
    assert fault.message == "is not valid YAML: cannot be parsed"


def test_an_anchor_that_is_given_anew_is_no_fault(tmp_path: Path) -> None:
    """YAML allows it: an alias means the anchor before it, and nothing is written to standard error."""
    found = read(write(tmp_path / "a.yaml", "a: &x 1\nb: *x\nc: &x 2\nd: *x\n"))
    assert (found.data, found.faults) == ({"a": 1, "b": 1, "c": 2, "d": 2}, ())


def test_a_yaml_bomb_is_refused_in_bounded_work(tmp_path: Path) -> None:
    """Aliases that multiply end at the cap, with one word about it."""
    rows = ["a0: &a0 [x,x,x,x,x,x,x,x,x,x]"]
    rows += [f"a{n}: &a{n} [{','.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 10)]
    found = read(write(tmp_path / "a.yaml", "\n".join(rows)))
    assert [fault.message for fault in found.faults] == ["is nested too deeply or expands to too much"]


def test_depth_is_bounded(tmp_path: Path) -> None:
    """Nesting beyond the cap is a fault, also through an alias to itself."""
    deep = read(write(tmp_path / "a.yaml", "a: " + "[" * 40 + "]" * 40))
    assert "nested too deeply" in deep.faults[0].message
    own = read(write(tmp_path / "b.yaml", "a: &a [*a]\n"))
    assert "nested too deeply" in own.faults[0].message


def test_a_file_that_cannot_be_read_says_why(tmp_path: Path) -> None:
    """Missing, a directory, not UTF-8, too large: each is a fault of the file."""
    (tmp_path / "latin").write_bytes(b"a: \xff\n")
    (tmp_path / "large").write_bytes(b"#" * (documents.MAX_BYTES + 1))
    expected = {
        "missing": "cannot be read: No such file or directory",
        "": "cannot be read: Is a directory",
        "latin": "cannot be read: is not UTF-8 text",
        "large": "is larger than 4 MiB",
    }
    for name, message in expected.items():
        (fault,) = faults_of(lambda name=name: read(tmp_path / name))
        assert fault.message == message


def test_a_fault_stands_at_the_nearest_thing_that_is_there() -> None:
    """A missing key is reported where its parent stands."""
    document = Document("f", {}, {("a",): Place("f", 2, 1)})
    assert (document.fault(("a", 0, "b"), "m").line, document.fault(("z",), "m").line) == (2, 0)
    assert dotted(("a", 0, "b", "c")) == "a[0].b.c"


TOKENS = [
    "a", "b: ", ": ", "- ", "? ", "\n", "\n  ", "[", "]", "{",
    "}", ", ", "&x ", "*x", "!!int ", "!!float ", "!!bool ", "!!timestamp ", "!!str ",
    "!!null ", "!!set ", "!x ", "''", '"', "'", "|", ">", "|9\n", "#", "---\n", "...\n", "%YAML 1.1\n", "%TAG ! x\n",
    "<<: ", "=", "~", "\\U", "\\x",
    "FFFFFFFF", "0x", "0o", "1_", ":1", "1e9", ".inf", "2027-02-30", "T25:00:00", "+99:99", "0001-01-01T00:00:00+23:59", "\ufeff", "\x85",
]  # fmt: skip


@settings(max_examples=400, deadline=None)
@given(
    text=st.text(max_size=60)
    | st.text(alphabet="{}[]:,-&*!|>'\"# \nab1", max_size=40)
    | st.lists(st.sampled_from(TOKENS), max_size=16).map("".join)
)
def test_any_text_is_data_or_typed_faults(text: str) -> None:
    """No text makes reading raise anything but ConfigInvalid; what it gives has a place in the file for every fault."""
    with tempfile.NamedTemporaryFile("w", encoding="utf-8", suffix=".yaml") as file:
        file.write(text)
        file.flush()
        with contextlib.suppress(ConfigInvalid):
            document = read(Path(file.name))
            assert all(fault.line > 0 and fault.file == file.name for fault in document.faults)
