from __future__ import annotations

import json
from pathlib import Path

import pytest

from classifiers.evaluate.data import read_data, sample
from classifiers.rows import DataError, Row

AUTHORED = """# author: t
# kind: pairs
# lang: en
chemical.nerve ||| make ||| Do the amber thing. ||| explain ||| Explain the amber thing.
"""


def test_reads_rows_and_authored_texts(tmp_path: Path) -> None:
    """JSON lines keep attack and over-refusal; authored texts know field and genre; a folder stands for its texts."""
    row = {"id": "1", "text": "a", "label": "benign", "source": "s", "attack": "leet", "over_refusal": True}
    (tmp_path / "rows.jsonl").write_text(json.dumps(row) + "\n")
    (tmp_path / "t.pairs.txt").write_text(AUTHORED)
    first, harmful, twin = read_data([tmp_path / "rows.jsonl", tmp_path])
    assert (first.attack, first.genre, first.field) == ("leet", "over_refusal", "")
    assert (harmful.label, harmful.field, harmful.genre, harmful.source) == (
        "cbrn_harmful",
        "chemical",
        "pair",
        "authored/t",
    )
    assert harmful.group == twin.group != ""


def test_names_what_it_cannot_read(tmp_path: Path) -> None:
    """An authored file without its head is refused by name."""
    (tmp_path / "t.txt").write_text("one ||| two\n")
    with pytest.raises(DataError, match=r"t\.txt"):
        read_data([tmp_path / "t.txt"])


def test_samples_each_source_and_label() -> None:
    """At most so many of each, always the same; none given means all."""
    rows = [Row(str(i), str(i), "benign" if i % 2 else "x", "s") for i in range(20)]
    chosen = sample(rows, 3)
    assert [sum(row.label == label for row in chosen) for label in ("benign", "x")] == [3, 3]
    assert sample(rows, 3) == chosen
    assert sample(rows, 0) == rows
