from __future__ import annotations

import random

import pytest

from classifiers.rows import Row
from classifiers.train.augment import CARRIERS, PADDING, buried, carried
from classifiers.train.labels import Example

EXAMPLES = [Example(Row(str(i), f"request {i}", "x", f"source {i}"), "cbrn" if i % 2 else "benign") for i in range(6)]


def test_children_keep_text_kind_and_source() -> None:
    """A variant holds its parent's text whole, has its kind and source, and is marked."""
    made = carried(EXAMPLES, 3, 20, 1)
    assert len(made) == 18
    for index, child in enumerate(made):
        parent = EXAMPLES[index // 3]
        assert parent.row.text in child.row.text
        assert child.row.text != parent.row.text
        assert (child.kind, child.row.source, child.child) == (parent.kind, parent.row.source, True)
    assert len({child.row.id for child in made}) == 18


def test_same_seed_same_children() -> None:
    """The data of a training run can be made again."""
    assert carried(EXAMPLES, 3, 20, 1) == carried(EXAMPLES, 3, 20, 1)
    assert carried(EXAMPLES, 3, 20, 1) != carried(EXAMPLES, 3, 20, 2)


@pytest.mark.parametrize("length", [1, 10, 19, 20, 50])
def test_buried_text_fills_the_window(length: int) -> None:
    """The text stands whole among padding, as many words in all as asked for, or eight more than itself."""
    text = " ".join(f"w{index}" for index in range(length))
    places = set()
    for seed in range(40):
        made = buried(text, 20, random.Random(seed))
        assert text in made
        assert len(made.split()) == max(20, length + 8)
        places.add(made.index(text) == 0)
    assert False in places


def test_frames_say_nothing_about_weapons() -> None:
    """A frame around both labels must not carry a label itself."""
    for text in (*CARRIERS, *PADDING):
        assert not any(word in text.lower() for word in ("weapon", "bomb", "virus", "poison", "nuclear", "kill"))
