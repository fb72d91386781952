from __future__ import annotations

from classifiers.rows import Row
from classifiers.train.labels import Example, Kind
from classifiers.train.tune import LONGEST, lessons

IDS = tuple(range(200))
WINDOWS = [IDS[0:64], IDS[32:96], IDS[64:128]]


def example(kind: Kind) -> Example:
    return Example(Row("x", "x", kind, "s"), kind)


def test_a_short_text_is_one_lesson() -> None:
    """What fits a window is learned as it is, with a target per category."""
    (lesson,) = lessons(example("cbrn"), [IDS[:9]], IDS[:9], 0.5)
    assert (lesson.ids, lesson.targets, lesson.weight) == (IDS[:9], (1.0, None), 0.5)


def test_a_long_request_is_not_learned_by_its_beginning() -> None:
    """Of a long harmful text, the end as a whole and the last window count as harmful, no other window."""
    found = [lesson.ids for lesson in lessons(example("cbrn"), WINDOWS, IDS, 1.0)]
    assert found == [IDS[-LONGEST:], IDS[-64:]]


def test_a_long_harmless_text_is_learned_by_a_window_too() -> None:
    """Of a long harmless text, the beginning as a whole and a window count as harmless."""
    found = lessons(example("adjacent"), WINDOWS, IDS, 1.0)
    assert [lesson.ids for lesson in found] == [IDS[:LONGEST], WINDOWS[1]]
    assert {lesson.targets for lesson in found} == {(0.0, 0.0)}
