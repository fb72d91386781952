from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest

from classifiers.rows import Row, read_rows
from classifiers.train.labels import RELABELS, Example, label, read_relabels

AUTHORED = RELABELS.parent / "authored.jsonl"


def row(identifier: str, given: str) -> Row:
    return Row(identifier, "text", given, "s")


@pytest.mark.parametrize(
    ("kind", "cbrn", "other"),
    [
        ("cbrn", 1.0, None),
        ("other_harm", 0.0, 1.0),
        ("poison", None, 1.0),
        ("benign", 0.0, 0.0),
        ("adjacent", 0.0, 0.0),
    ],
)
def test_targets(kind: str, cbrn: float | None, other: float | None) -> None:
    """A row teaches a category one, zero or nothing."""
    example = Example(row("1", "x"), kind)  # type: ignore[arg-type]  (a parameter of a test is a str)
    assert (example.target("cbrn"), example.target("other_harm")) == (cbrn, other)


def test_re_reading_wins_over_the_label(tmp_path: Path) -> None:
    """Excluded rows and labels that teach nothing are left out, changed ones change."""
    path = tmp_path / "relabels.json"
    path.write_text(
        json.dumps({"excluded": ["1"], "other_harmful": ["2"], "not_for_cbrn": ["3"], "cbrn_harmful": ["4"]})
    )
    rows = [row(str(i), "cbrn_harmful" if i < 3 else "other_harmful") for i in range(6)]
    examples = label([*rows, row("9", "jailbreak_template")], read_relabels(path))
    assert [(e.row.id, e.kind) for e in examples] == [
        ("0", "cbrn"), ("2", "other_harm"), ("3", "poison"), ("4", "cbrn"), ("5", "other_harm"),
    ]  # fmt: skip


def test_shipped_lists_hold_ids_once() -> None:
    """No row has two verdicts, and the lists hold ids, not text."""
    lists = json.loads(RELABELS.read_text())
    counts = Counter(identifier for rows in lists.values() for identifier in rows)
    assert set(counts.values()) == {1}
    assert all(" " not in identifier for identifier in counts)


def test_authored_pairs_are_matched_and_free_of_detail() -> None:
    """Each harmful text has one twin, ids and texts are unique, and no text holds a quantity, a condition or a link."""
    rows = read_rows(AUTHORED)
    pairs = Counter((r.group, r.label) for r in rows if r.group)
    groups = {group for group, _ in pairs}
    assert pairs == Counter({(group, kind): 1 for group in groups for kind in ("cbrn_harmful", "cbrn_adjacent_benign")})
    assert len({r.id for r in rows}) == len({r.text for r in rows}) == len(rows)
    units = (" mg", " ml", " kg", " gram of", "degrees", "celsius", "http", "% solution", "ppm")
    for r in rows:
        if r.label == "cbrn_harmful":
            assert not any(unit in r.text.lower() for unit in units), r.id
