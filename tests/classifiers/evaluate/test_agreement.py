from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest

from classifiers.evaluate.agreement import agree, draw, of_authors, read_sheet, write_sheet
from classifiers.evaluate.commands import READING_B
from classifiers.rows import DataError, Row
from classifiers.train.authored import Authored


def _text(number: int, author: str, label: str, pair: str = "") -> Authored:
    ident = f"authored-{author}-{number:012}"
    return Authored(Row(ident, f"text {number}", label, author, "en", pair or ident), author, "none", "none", "g", pair)


TEXTS = [
    *(_text(i, "a", "benign") for i in range(40)),
    *(_text(100 + i, "b", ("cbrn_harmful", "cbrn_adjacent_benign")[i % 2], f"pair {i // 2}") for i in range(40)),
]


def test_draws_in_proportion_and_one_of_a_pair() -> None:
    """Every author has its share, no pair is there twice, and the same seed draws the same rows in the same order."""
    chosen = draw(TEXTS, 30)
    assert Counter(one.author for one in chosen) == {"a": 20, "b": 10}
    assert max(Counter(one.row.group for one in chosen).values()) == 1
    assert chosen == draw(TEXTS, 30)
    assert chosen != draw(TEXTS, 30, seed=1)


def test_more_than_there_are() -> None:
    """Other halves of pairs do not count as rows to be read."""
    with pytest.raises(DataError, match="61 rows asked for, 60"):
        draw(TEXTS, 61)


def test_sheets_say_nothing_of_labels(tmp_path: Path) -> None:
    """The texts to be read carry no label, author or topic; a sheet that is not filled in is refused."""
    write_sheet(draw(TEXTS, 5), tmp_path / "sheet.json")
    rows = [json.loads(line) for line in (tmp_path / "sheet.texts.jsonl").read_text().splitlines()]
    assert all(set(row) == {"id", "lang", "text"} for row in rows)
    assert all(row["id"].isdigit() for row in rows)
    with pytest.raises(DataError, match="not a filled sheet"):
        read_sheet(tmp_path / "sheet.json")


def test_kappa_of_a_known_table() -> None:
    """The textbook case: 35 of 50 agree, chance gives a half, kappa is 0.4."""
    cells = {
        ("fine", "fine"): 20,
        ("fine", "prohibited"): 5,
        ("prohibited", "fine"): 10,
        ("prohibited", "prohibited"): 15,
    }
    given = [pair for pair, count in cells.items() for _ in range(count)]
    one = {str(i): pair[0] for i, pair in enumerate(given)}
    other = {str(i): pair[1] for i, pair in enumerate(given)}
    found = agree(one, other)
    assert (found.total, found.agreed, found.kappa) == (50, 35, pytest.approx(0.4))
    assert len(found.apart) == 15
    assert str(found).startswith("35/50 rows agree (70.0%); Cohen's kappa 0.400")


def test_kappa_at_the_ends() -> None:
    """One ruling throughout is full agreement; nothing in common is an error."""
    assert agree({"1": "fine"}, {"1": "fine"}).kappa == 1.0
    with pytest.raises(DataError, match="share no row"):
        agree({"1": "fine"}, {"2": "fine"})


def test_authors_are_a_reading() -> None:
    """Labels become rulings of the constitution."""
    assert set(of_authors(TEXTS).values()) == {"fine", "prohibited"}


def test_the_kept_reading_is_filled() -> None:
    """The second reading that the repository keeps has 300 rulings and no text."""
    readings = read_sheet(READING_B)
    assert len(readings) == 300
    assert {"fine", "prohibited", "other_harm"} <= set(readings.values())
