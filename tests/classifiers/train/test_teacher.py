from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from support.fake_engine import NumberedEngine

from classifiers.train.teacher import Teacher, joined


@pytest.fixture
def teacher(tmp_path: Path) -> Teacher:
    return Teacher(NumberedEngine(), "digest", tmp_path)


def test_every_window_is_a_lesson(teacher: Teacher) -> None:
    """Each window of each text has its tokens, its owner and its scores; an empty text has none."""
    lessons = teacher.lessons(["ab abc", "", "abcd"], "title")
    assert lessons.sizes.tolist() == [1, 1, 1]
    assert lessons.owners.tolist() == [0, 0, 2]
    assert len(lessons.ids) == 3
    assert np.allclose(lessons.scores[:, 0], [0.02, 0.03, 0.04])


def test_lessons_are_kept_by_model_and_texts(teacher: Teacher) -> None:
    """The same texts are scored once for a model; others, and other models, are scored anew."""
    engine = teacher.engine
    assert isinstance(engine, NumberedEngine)
    first = teacher.lessons(["ab"], "title")
    again = teacher.lessons(["ab"], "title")
    assert len(engine.inferred) == 1
    assert (first.scores == again.scores).all()
    teacher.lessons(["ab", "ab"], "title")
    Teacher(engine, "other", teacher.cache).lessons(["ab"], "title")
    assert len(engine.inferred) == 4


def test_joined_lessons_move_their_owners(teacher: Teacher) -> None:
    """Parts stand one after the other, with owners counted on."""
    both = joined([teacher.lessons(["ab"], "t"), teacher.lessons(["abc abc"], "t")], [0, 1])
    assert both.owners.tolist() == [0, 1, 1]
    assert len(both.ids) == both.sizes.sum() == 3
