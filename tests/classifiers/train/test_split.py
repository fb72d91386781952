from __future__ import annotations

from classifiers.rows import Row
from classifiers.train.labels import Example, Kind
from classifiers.train.split import HELD_SOURCES, MOST, PUBLIC_POSITIVES, learned


def example(number: int, source: str, kind: Kind, lang: str = "en", group: str = "") -> Example:
    return Example(Row(str(number), "x", kind, source, lang, group), kind)


def test_held_out_sources_are_not_learned() -> None:
    """Nothing of a held-out author or source is learned, whatever its kind."""
    rows = [example(i, source, "benign") for source in sorted(HELD_SOURCES) for i in range(9)]
    assert not any(learned(rows))


def test_pairs_stay_together_and_a_part_is_held_out() -> None:
    """Both halves of a pair are on one side, and of an author some pairs are on each."""
    rows = [example(i, "authored/a7", kind, "fr", f"p{i}") for i in range(60) for kind in ("cbrn", "adjacent")]  # type: ignore[arg-type]  (a loop over names)
    taken = learned(rows)
    assert taken[::2] == taken[1::2]
    assert 0 < sum(taken) < len(taken)


def test_public_rows_are_capped_and_do_not_depend_on_order() -> None:
    """Of a large public source so many rows are learned as stated, the same ones in any order."""
    rows = [example(i, "s", "benign") for i in range(2000)]
    taken = learned(rows)
    assert sum(taken) == MOST["benign"]
    assert learned(rows[::-1]) == taken[::-1]


def test_public_positives() -> None:
    """Those of one source are learned, in English only; all others are left to measure by."""
    rows = [
        example(0, PUBLIC_POSITIVES, "cbrn"),
        example(1, PUBLIC_POSITIVES, "cbrn", "fr"),
        example(2, "other", "cbrn"),
    ]
    assert learned(rows) == [True, False, False]
