from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest
from support.fake_engine import NumberedEngine

from classifiers.train.curriculum import INPUTS, MOST_ROWS, held, read_texts, teach
from classifiers.train.teacher import Teacher

AUTHORED = """# author: t1
# kind: pairs
# lang: en
chem.agents ||| make ||| how would one make it ||| explain ||| how would one explain it
"""


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A few synthetic rows of each input; one source has more than is taken."""
    for name in INPUTS:
        count = MOST_ROWS + 5 if name == "over_refusal.jsonl" else 3
        label = "cbrn_harmful" if "harmful_en" in name else "benign"
        rows = [{"id": f"{name}{i}", "text": f"text {i}", "label": label, "source": name} for i in range(count)]
        content = "".join(json.dumps(row) + "\n" for row in rows).encode()
        (tmp_path / name).write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
    return tmp_path


def test_sources_are_bounded_and_harmful_rows_are_carried(data: Path) -> None:
    """No source has more rows than the bound; harmful rows and as many harmless ones come again inside other words."""
    texts = read_texts(data, data / "none")
    counts = {name: sum(text.source == name for text in texts) for name in INPUTS}
    assert counts["over_refusal.jsonl"] == MOST_ROWS
    assert counts["cbrn_harmful_en.jsonl"] == 3
    carried = [text for text in texts if text.source == "carried or padded"]
    harmful = sum(text.label == "cbrn_harmful" for text in carried)
    assert harmful == len(carried) / 2 > 0
    assert {text.label for text in texts} >= {"code", "prose"}


def test_a_quarter_is_held_out_by_name() -> None:
    """The same name always falls on the same side, so that pairs stay together."""
    names = [f"row {index}" for index in range(2000)]
    assert [held(name) for name in names] == [held(name) for name in names]
    assert 0.2 < sum(map(held, names)) / len(names) < 0.3


def test_lessons_belong_to_their_texts(data: Path, tmp_path: Path) -> None:
    """After grouping by source, every lesson's owner is the text that it was made from."""
    texts = [text for text in read_texts(data, data / "none") if text.source.startswith(("cbrn", "other"))]
    course = teach(Teacher(NumberedEngine(), "digest", tmp_path / "cache"), texts)
    assert sorted(text.text for text in course.texts) == sorted(text.text for text in texts)
    sizes = [len(text.text.split(" ")) for text in course.texts]
    assert [int((course.lessons.owners == index).sum()) for index in range(len(sizes))] == sizes
