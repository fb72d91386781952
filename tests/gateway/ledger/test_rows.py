"""Rows are canonical, and the chain breaks at the first changed bit."""

from __future__ import annotations

import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st

from gateway.ledger.rows import MAX_INTEGER, MAX_LINE, ZERO, RowInvalid, canonical, link, parse, seal

KEYS = st.from_regex(r"[a-z_][a-z0-9_]{0,12}", fullmatch=True)
TEXTS = st.text(st.characters(exclude_categories=("Cs",)), max_size=40)
VALUES = TEXTS | st.integers(-MAX_INTEGER + 1, MAX_INTEGER - 1)
ROWS = st.dictionaries(KEYS, VALUES, max_size=12)


@given(ROWS)
def test_our_encoding_is_rfc_8785(row: dict[str, str | int]) -> None:
    """For every row that can exist, our bytes equal those of the reference implementation."""
    assert canonical(row) == rfc8785.dumps(row)


@given(ROWS)
def test_a_sealed_row_parses_back(row: dict[str, str | int]) -> None:
    """What was sealed is what is read."""
    fields = {key: value for key, value in row.items() if key not in {"seq", "prev", "hash"}}
    line, digest = seal({**fields, "seq": 7}, ZERO)
    assert parse(line[:-1]) == {**fields, "seq": 7, "prev": ZERO, "hash": digest}


@given(ROWS, st.data())
def test_any_changed_byte_is_noticed(row: dict[str, str | int], data: st.DataObject) -> None:
    """A row with one other byte is no row of the chain."""
    fields = {key: value for key, value in row.items() if key not in {"seq", "prev", "hash"}}
    line, _ = seal({**fields, "seq": 7}, ZERO)
    at = data.draw(st.integers(0, len(line) - 2))
    other = data.draw(st.integers(0, 255).filter(lambda byte: byte != line[at]))
    with pytest.raises(RowInvalid):
        parse(line[:at] + bytes([other]) + line[at + 1 : -1])


@pytest.mark.parametrize(
    ("line", "says"),
    [
        (b"", "not a row"),
        (b"[]", "not a row"),
        (b'{"seq":1.5}', "not a row"),
        (b'{"a":' * 2000, "not a row"),
        (b'{"seq":0}', "missing"),
        (b'{"hash":"x","prev":"y","seq":"0"}', "missing"),
        (b" " * (MAX_LINE + 1), "over"),
    ],
)
def test_what_is_not_a_row_is_named(line: bytes, says: str) -> None:
    """Every kind of garbage is refused with the reason."""
    with pytest.raises(RowInvalid, match=says):
        parse(line)


def test_a_reordered_row_is_refused() -> None:
    """The same contents in another form are refused: there is one form only."""
    line, _ = seal({"a": 1, "seq": 0}, ZERO)
    with pytest.raises(RowInvalid, match="canonical"):
        parse(line[:-1].replace(b'{"a":1,', b'{"a": 1,'))


@pytest.mark.parametrize("text", ['é","hash":"x', '\\","hash":"', "a,", '"hash":"', "}"])
@given(key=KEYS.filter(lambda key: key not in {"seq", "prev", "hash"}))
def test_no_text_can_pass_for_the_hash(text: str, key: str) -> None:
    """Values that look like the end of a row are read back as they are."""
    line, digest = seal({key: text, "seq": 7}, ZERO)
    assert parse(line[:-1]) == {key: text, "seq": 7, "prev": ZERO, "hash": digest}


def test_a_sealed_row_that_rows_cannot_be_is_refused() -> None:
    """A row with the right hash but another form, key or integer is none: there is one form only."""
    for body, says in (
        (b'{"a":9007199254740993,"prev":"p","seq":0}', "beyond 2"),
        (b'{"a b":1,"prev":"p","seq":0}', "not an ASCII identifier"),
        ('{"é":1,"prev":"p","seq":0}'.encode(), "not an ASCII identifier"),
        (b'{"seq":0,"prev":"p"}', "hash of row|canonical"),
        (b'{"a":"\\u0041","prev":"p","seq":0}', "hash of row|canonical"),
        (b'{"prev":"p","prev":"p","seq":0}', "hash of row|canonical"),
    ):
        line = body.replace(b'"prev"', b'"hash":"' + link("p", body).encode() + b'","prev"', 1)
        with pytest.raises(RowInvalid, match=says):
            parse(line)
