from __future__ import annotations

import pytest

from classifiers.evaluate.audit import as_json, as_table, audit, first_words, lexicon
from classifiers.rows import Row
from classifiers.train.authored import Authored, read_authored


def _pairs(harmful: str, twin: str, count: int = 60) -> list[Authored]:
    """Pairs whose halves begin as told and go on alike."""
    texts = []
    for number in range(count):
        for label, opening in (("cbrn_harmful", harmful), ("cbrn_adjacent_benign", twin)):
            row = Row(f"{label}{number}", f"{opening} the thing {number}", label, "s", "en", str(number))
            texts.append(Authored(row, "t", "chemical.nerve", "make", "pair", str(number)))
    return texts


def _areas(texts: list[Authored]) -> dict[str, float]:
    return {one.shortcut: one.area.value for one in audit(texts) if one.author == "all"}


def test_finds_each_shortcut() -> None:
    """Openings, length and names that tell the halves apart are found; alike halves hold nothing; sources never do in pairs."""
    assert _areas(_pairs("Please brew", "Kindly explain"))["first three words"] == 1.0
    assert _areas(_pairs("Brew", "Brew and brew and brew and brew and brew"))["length"] == 1.0
    assert _areas(_pairs("Brew the sarin", "Brew the coffee"))["lexicon"] == 1.0
    assert _areas(_pairs("Brew", "Brew")) == pytest.approx(
        {"first three words": 0.5, "length": 0.5, "source": 0.5, "lexicon": 0.5}
    )


def test_reports_what_is_broken() -> None:
    """The table and the JSON say which bar is broken; a lexicon is measured and not barred; authors are told, not judged."""
    findings = audit(_pairs("Please brew the sarin", "Kindly brew the cocoa"))
    broken = {(one.shortcut, one.author) for one in findings if not one.passes}
    assert broken == {("first three words", "all")}
    assert "| first three words | all | 60 | 1.000 | 1.000 to 1.000 | under 0.6: broken |" in as_table(findings)
    assert {one["author"] for one in as_json(findings)} == {"all", "t"}


def test_openings_without_spaces() -> None:
    """Scripts that do not part words are read by their first characters."""
    (one, _) = _pairs("寒い朝には何を", "x", count=1)
    assert "0 寒" in first_words(_spaceless(one))
    assert lexicon(one) == []


def _spaceless(one: Authored) -> Authored:
    row = Row(one.row.id, "寒い朝には何を飲めばいいですか", one.row.label, "s", "ja", one.row.group)
    return Authored(row, one.author, one.topic, one.ask, one.genre, one.pair)


def test_the_committed_pairs_hold_no_shortcut() -> None:
    """Of the texts that the shipped classifier learns from, neither first words nor length nor source tell the halves apart."""
    texts = read_authored()
    assert sum(bool(one.pair) for one in texts) >= 2 * 1000
    findings = audit(texts)
    assert all(one.passes for one in findings), as_table(findings)
