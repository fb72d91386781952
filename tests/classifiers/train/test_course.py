from __future__ import annotations

from support.tiny_model import tokenizer_bytes

from classifiers.encoder import Reader
from classifiers.rows import Row
from classifiers.train.course import CHILD, PUBLIC, curriculum, read_lessons, variants
from classifiers.train.labels import Example, Kind
from classifiers.train.tune import Tuning

READER = Reader.load(tokenizer_bytes(), 12, 5)


def pair(number: int) -> list[Example]:
    kinds: tuple[Kind, ...] = ("cbrn", "adjacent")
    return [Example(Row(f"{number}{k}", "a b", k, "authored/a2", "en", f"p{number}"), k) for k in kinds]


def test_both_halves_of_a_pair_get_the_same_kind_of_variant() -> None:
    """One variant of each row; a frame around harmful rows only would teach that the frame means harm."""
    rows = [example for number in range(40) for example in pair(number)]
    children = variants(rows, 1)
    assert [child.row.id.rpartition("+")[0] for child in children] == [row.row.id for row in rows]
    kinds = [child.row.id.rpartition("+")[2] for child in children]
    assert kinds[::2] == kinds[1::2]
    assert set(kinds) == {"0", "1"}


def test_hard_rows_come_every_epoch_and_others_once() -> None:
    """Every epoch holds all authored rows; public rows and variants are dealt out."""
    public = [Example(Row(f"b{i}", "c", "benign", "s"), "benign") for i in range(9)]
    epochs = curriculum(READER, [*pair(1), *pair(2), *public], Tuning(epochs=3))
    assert [sum(lesson.weight == 1.0 for lesson in epoch) for epoch in epochs] == [4, 4, 4]
    assert sum(lesson.weight == PUBLIC for epoch in epochs for lesson in epoch) == 9
    assert sum(lesson.weight == CHILD for epoch in epochs for lesson in epoch) >= 4


def test_tokens_of_overlapping_windows_are_joined_in_order() -> None:
    """A text of several windows is learned whole: no token twice, none left out."""
    text = " ".join("abcd"[i % 4] for i in range(40))
    row = Example(Row("x", text, "benign", "s"), "benign")
    (one,) = [lesson.ids for lesson in read_lessons(READER, [row], 1.0)][:1]
    (whole,) = read_lessons(Reader.load(tokenizer_bytes(), 100, 50), [row], 1.0)
    assert one == whole.ids
