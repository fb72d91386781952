from __future__ import annotations

import base64

import pytest
from support.fake_classifier import FakeClassifier

from classifiers.base import ClassifierUnavailable
from classifiers.evaluate.run import BATCH, readings, relabelled, score_rows, score_texts
from classifiers.rows import Row


async def test_scores_rows_in_order_and_closes() -> None:
    """Each row gets its own highest score per category, over more than one batch; the classifier is closed afterwards."""
    classifier = FakeClassifier()
    texts = ["amber kestrel protocol " + "x" * (i % 7) if i % 5 == 0 else f"poem {i}" for i in range(2 * BATCH + 1)]
    scored = await score_rows(classifier, [Row(str(i), text, "x", "s") for i, text in enumerate(texts)])
    assert [one.scores["cbrn"] > 0.5 for one in scored] == [i % 5 == 0 for i in range(2 * BATCH + 1)]
    with pytest.raises(ClassifierUnavailable):
        await classifier.score(["a"], budget=1, seconds=1)


async def test_a_decoded_view_counts() -> None:
    """A row is scored by its worst view, as the gateway does, and keeps what it is."""
    hidden = base64.b64encode(b"amber kestrel protocol, the sarin edition").decode()
    (scored,) = await score_rows(FakeClassifier(), [Row("1", hidden, "x", "s", attack="base64", field="f", genre="g")])
    assert scored.scores["cbrn"] > 0.5
    assert (scored.attack, scored.field, scored.genre, scored.named) == ("base64", "f", "g", True)
    assert len(readings(hidden)) > 1


async def test_a_text_is_scored_once() -> None:
    """Rows that say the same cost one inference; progress counts distinct texts."""
    classifier = FakeClassifier()
    await classifier.start()
    done: list[int] = []
    found = await score_texts(classifier, ["poem"] * 9 + ["verse"], done.append)
    assert (set(found), sum(done)) == ({"poem", "verse"}, 2)
    assert [len(call) for call in classifier.calls] == [2]


async def test_a_failure_is_the_classifiers_own() -> None:
    """A classifier that fails half-way ends in its error, not in a group of them."""
    classifier = FakeClassifier()
    classifier.mode = "raise"
    with pytest.raises(ClassifierUnavailable):
        await score_rows(classifier, [Row("1", "poem", "x", "s")])


def test_relabelled() -> None:
    """Re-read rows carry their new label; excluded ones are gone."""
    rows = [Row("1", "a", "cbrn_harmful", "s"), Row("2", "b", "cbrn_harmful", "s"), Row("3", "c", "benign", "s")]
    assert [(row.id, row.label) for row in relabelled(rows, {"1": "excluded", "2": "other_harmful"})] == [
        ("2", "other_harmful"),
        ("3", "benign"),
    ]
