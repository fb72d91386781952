from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from classifiers.rows import DataError, Row, read_all, read_rows

LINE = {"id": "1", "text": "line\u2028separator", "label": "benign", "source": "s", "pair": "p"}


def test_reads_plain_and_packed_rows(tmp_path: Path) -> None:
    """Both forms give the same rows; only line feeds end a line; empty lines are passed over."""
    content = (json.dumps(LINE, ensure_ascii=False) + "\n\n").encode()
    (tmp_path / "a.jsonl").write_bytes(content)
    (tmp_path / "b.jsonl.gz").write_bytes(gzip.compress(content))
    expected = Row("1", "line\u2028separator", "benign", "s", "en", "p")
    assert read_all([tmp_path / "a.jsonl", tmp_path / "b.jsonl.gz"]) == [expected, expected]


@pytest.mark.parametrize("line", ["{", "[]", "{}", '"text"'])
def test_a_bad_line_is_named(tmp_path: Path, line: str) -> None:
    """The error says which line of which file."""
    path = tmp_path / "a.jsonl"
    path.write_text(json.dumps(LINE) + "\n" + line)
    with pytest.raises(DataError, match=r"a\.jsonl:2"):
        read_rows(path)


def test_unreadable_files_are_named(tmp_path: Path) -> None:
    """Missing, not packed and not UTF-8 files are errors of the data."""
    (tmp_path / "bad.gz").write_bytes(b"no gzip")
    (tmp_path / "bad.jsonl").write_bytes(b"\xff")
    for name in ("none.jsonl", "bad.gz", "bad.jsonl"):
        with pytest.raises(DataError, match=name):
            read_rows(tmp_path / name)
