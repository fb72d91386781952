from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from classifiers.evaluate.calibrate import CannotCalibrate, choose, read_texts, thousandths
from classifiers.rows import DataError


@given(st.lists(st.floats(0, 0.99), min_size=10, max_size=80), st.sampled_from([0.1, 0.25, 0.5]))
def test_keeps_the_share_with_the_smallest_threshold(scores: list[float], share: float) -> None:
    """At most the wanted share is flagged; one step lower flags more, or there is no lower one."""
    chosen = choose(scores, share, 0.5)
    assert chosen.flagged.hits <= share * len(scores)
    lower = sum(thousandths(score) >= chosen.threshold - 1 for score in scores)
    assert lower > share * len(scores) or chosen.threshold == 1


def test_says_what_it_costs() -> None:
    """Both thresholds stand side by side, for harmless and for harmful texts; above the shipped one is looser."""
    chosen = choose([0.1] * 18 + [0.6, 0.7], 0.05, 0.55, [0.58, 0.9])
    assert (chosen.threshold, chosen.shipped, chosen.looser) == (601, 550, True)
    assert (chosen.flagged.hits, chosen.flagged_shipped.hits) == (1, 2)
    assert chosen.recall is not None
    assert chosen.recall_shipped is not None
    assert (chosen.recall.hits, chosen.recall_shipped.hits) == (1, 2)
    stricter = choose([0.1] * 20, 0.05, 0.55)
    assert (stricter.threshold, stricter.looser, stricter.recall) == (101, False, None)


def test_too_few_texts_and_too_high_scores() -> None:
    """A rate that these texts cannot show is refused, and so is one that no threshold gives."""
    with pytest.raises(CannotCalibrate, match=r"99 distinct harmless texts; a share of 0\.01 needs at least 100"):
        choose([0.1] * 99, 0.01, 0.5)
    with pytest.raises(CannotCalibrate, match="highest score"):
        choose([1.0] * 10, 0.1, 0.5)


def test_reads_rows_and_lines(tmp_path: Path) -> None:
    """JSON lines, plain and gzip, and plain lines; blank and repeated texts count once or not at all."""
    row = json.dumps({"text": "one"}) + "\n"
    (tmp_path / "a.jsonl").write_text(row + "\n" + row)
    (tmp_path / "b.jsonl.gz").write_bytes(gzip.compress(json.dumps({"text": "two"}).encode()))
    (tmp_path / "c.txt").write_text("three\n\none\n")
    assert read_texts([tmp_path / "a.jsonl", tmp_path / "b.jsonl.gz", tmp_path / "c.txt"]) == ["one", "two", "three"]


@pytest.mark.parametrize("line", ["nothing", "[]", "{}", '{"text": 3}'])
def test_names_the_line_it_cannot_read(tmp_path: Path, line: str) -> None:
    """A line without a text is refused with its place."""
    (tmp_path / "a.jsonl").write_text('{"text": "one"}\n' + line + "\n")
    with pytest.raises(DataError, match=r"a\.jsonl:2: "):
        read_texts([tmp_path / "a.jsonl"])
