"""Reading finds the rows of a decision in whatever form and place they are, and reads few segments for it."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.ledger_chains import Chain

from gateway.ledger import reading
from gateway.ledger.base import Kind
from gateway.ledger.reading import begins, export, moment, second_of, show
from gateway.ledger.rows import RowInvalid
from gateway.ledger.sealing import seal_segments
from gateway.ledger.segments import SegmentDamaged, packed, segments

HOUR_MS = 3_600_000


def ident(hour: int) -> str:
    """A decision id of that hour."""
    return f"d-{hour * HOUR_MS:011x}{hour:016x}"


def hours(root: Path, count: int) -> Chain:
    """One segment for each hour, with one exchange."""
    chain = Chain(root)
    for hour in range(count):
        for kind in (Kind.INTENT, Kind.OUTCOME):
            chain.row(kind, decision=ident(hour), time_ms=hour * HOUR_MS)
        chain.turn()
    chain.row(Kind.STOP, time_ms=count * HOUR_MS)
    return chain


def test_rows_are_found_in_both_forms_and_few_segments_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The id's time leads to its segments; the other hundred stay closed."""
    chain = hours(tmp_path, 30)
    before = list(export(tmp_path))
    assert len(seal_segments(chain.directory)) == 30
    assert list(export(tmp_path)) == before
    read: list[Path] = []
    real = reading._holds
    monkeypatch.setattr(reading, "_holds", lambda path, needle: read.append(path) or real(path, needle))
    assert [row["kind"] for row in show(tmp_path, ident(20))] == ["intent", "outcome"]
    assert len(read) <= 5


def test_rows_of_a_clock_that_was_wrong_are_found_too(tmp_path: Path) -> None:
    """What is not where the time says is looked for everywhere."""
    chain = hours(tmp_path, 12)
    chain.row(Kind.OUTCOME, decision=ident(1) + "", time_ms=HOUR_MS)
    chain.row(Kind.OUTCOME, decision=f"d-{500 * HOUR_MS:011x}{7:016x}", time_ms=12 * HOUR_MS)
    assert len(show(tmp_path, f"d-{500 * HOUR_MS:011x}{7:016x}")) == 1
    assert show(tmp_path, f"d-{500 * HOUR_MS:011x}{8:016x}") == []
    assert show(tmp_path, "d-1") == []


def test_a_covered_decision_leads_to_its_cover(tmp_path: Path) -> None:
    """Where a decision was recorded by count, the rows that cover its second are shown."""
    chain = hours(tmp_path, 2)
    chain.row(Kind.COVER, **{"from": second_of(5000), "until": second_of(6000), "model": "m", "of": "intent"})
    (row,) = show(tmp_path, f"d-{5999:011x}{3:016x}")
    assert row["kind"] == "cover"
    assert show(tmp_path, f"d-{6000:011x}{3:016x}") == []


def test_damage_is_an_error_not_an_empty_answer(tmp_path: Path) -> None:
    """A compressed segment that is cut, and a row that was edited, are said."""
    chain = hours(tmp_path, 2)
    first = segments(chain.directory)[0]
    first.write_bytes(first.read_bytes().replace(b'"kind":"intent"', b'"kind":"intenT"'))
    with pytest.raises(RowInvalid):
        show(tmp_path, ident(0))
    seal_segments(chain.directory)
    whole = packed(first).read_bytes()
    packed(first).write_bytes(whole[:-20])
    with pytest.raises(SegmentDamaged):
        show(tmp_path, ident(0))
    with pytest.raises(SegmentDamaged):
        list(export(tmp_path))


def test_ids_and_times() -> None:
    """Only ids of ours have a time."""
    assert moment(ident(3)) == 3 * HOUR_MS
    assert moment("d-1") is None
    assert second_of(1999) == f"d-{1000:011x}"


def test_a_segment_without_a_row_has_no_beginning(tmp_path: Path) -> None:
    """Empty, missing and foreign files."""
    assert begins(tmp_path / "none.jsonl") is None
    (tmp_path / "x.jsonl").write_bytes(b"")
    assert begins(tmp_path / "x.jsonl") is None
    (tmp_path / "x.jsonl").write_bytes(b"garbage\n")
    assert begins(tmp_path / "x.jsonl") is None
