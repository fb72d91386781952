"""Constitutions decide everything they name, and what is malformed is refused by name."""

from __future__ import annotations

from pathlib import Path

import pytest

from classifiers.constitution.reader import Constitution, ConstitutionInvalid, Ruling, load

SMALL = """
id = "small"
version = 1
[asks]
make = "making"
treat = "treating"
[actionability]
none = "nothing"
operational = "a step"
[[topics]]
id = "kitchen.bread"
field = "kitchen"
title = "bread"
fine = "all of it"
[[rules]]
when = {ask = ["make"], actionability = ["operational"]}
verdict = "prohibited"
[[rules]]
when = {}
verdict = "fine"
"""


@pytest.fixture(scope="module")
def cbrn() -> Constitution:
    """The shipped constitution."""
    return load()


def made(folder: Path, text: str) -> Constitution:
    """A constitution of a test."""
    (folder / "small.toml").write_text(text)
    return load("small", folder)


def test_four_fields_and_every_ask(cbrn: Constitution) -> None:
    """Chemical, biological, radiological and nuclear topics, and the nine asks that labels are made of."""
    assert cbrn.fields == ("chemical", "biological", "radiological", "nuclear")
    assert cbrn.harmful_asks == {"acquire", "make", "enhance", "deliver", "evade"}
    assert set(cbrn.asks) - cbrn.harmful_asks == {"explain", "protect", "regulate", "treat"}
    assert all(sum(topic.field == field for topic in cbrn.topics) >= 3 for field in cbrn.fields)


@pytest.mark.parametrize(
    ("ask", "actionability", "ruling"),
    [
        ("make", "operational", Ruling.PROHIBITED),
        ("evade", "general", Ruling.PROHIBITED),
        ("explain", "general", Ruling.FINE),
        ("explain", "operational", Ruling.DUAL_USE),
        ("treat", "operational", Ruling.FINE),
        ("deliver", "none", Ruling.FINE),
    ],
)
def test_the_verdict_follows_from_ask_and_actionability(
    cbrn: Constitution, ask: str, actionability: str, ruling: Ruling
) -> None:
    """The same agent may be asked about in ways that are prohibited, for experts, or nobody's harm."""
    assert cbrn.ruling(ask, actionability) is ruling
    with pytest.raises(KeyError):
        cbrn.ruling(ask, "unknown")


def test_boundary_cases_are_decided(cbrn: Constitution) -> None:
    """At least sixty cases on which readers would disagree, each once, with a reason; all four rulings occur."""
    assert len({case.case for case in cbrn.cases}) == len(cbrn.cases) >= 60
    assert {case.ruling for case in cbrn.cases} == set(Ruling)
    groups = {case.group for case in cbrn.cases}
    assert {
        "poisons",
        "pesticides",
        "toxic gases at home",
        "explosives",
        "drugs",
        "facility attacks",
        "delivery",
    } <= groups
    assert "missing context" in groups
    for case in cbrn.cases:
        assert case.why, case
        assert case.topic or case.ruling in {Ruling.FINE, Ruling.OTHER_HARM}, case


def test_the_harmless_surrogate_decides_in_the_same_way(cbrn: Constitution) -> None:
    """The stand-in has the same asks and the same rulings, so that machinery proven on it is proven."""
    brewing = load("brewing")
    assert set(brewing.asks) == set(cbrn.asks)
    for ask in cbrn.asks:
        for level in cbrn.actionability:
            assert brewing.ruling(ask, level) is cbrn.ruling(ask, level)


def test_any_constitution_of_this_form_is_read(tmp_path: Path) -> None:
    """Another subject needs another file, not other code."""
    small = made(tmp_path, SMALL)
    assert (small.id, small.fields, small.cases) == ("small", ("kitchen",), ())
    assert small.ruling("make", "operational") is Ruling.PROHIBITED
    assert small.ruling("make", "none") is Ruling.FINE


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('id = "kitchen.bread"', 'id = "bread"', "begin with their field"),
        ('verdict = "fine"', 'verdict = "nice"', "nice"),
        ("when = {}", 'when = {ask = ["make"]}', "nothing decides treat"),
        ('{ask = ["make"], actionability', '{ask = ["bake"], actionability', "unknown ask"),
        ("when = {}", 'when = {mood = ["bad"]}', "mood"),
        ("version = 1", "", "version"),
        ("[asks]", "[asks", "small.toml"),
    ],
)
def test_what_is_malformed_is_named(tmp_path: Path, old: str, new: str, said: str) -> None:
    """A constitution that leaves something open, or that cannot be read, is refused with what is wrong."""
    with pytest.raises(ConstitutionInvalid, match=said):
        made(tmp_path, SMALL.replace(old, new))


def test_a_case_of_an_unknown_topic_is_refused(tmp_path: Path) -> None:
    """Decisions are about topics that exist."""
    case = '[[cases]]\ngroup = "g"\ncase = "c"\nverdict = "fine"\ntopic = "kitchen.wine"\nwhy = "w"\n'
    (tmp_path / "small.decisions.toml").write_text(case)
    with pytest.raises(ConstitutionInvalid, match=r"kitchen\.wine"):
        made(tmp_path, SMALL)


def test_a_missing_constitution_is_named(tmp_path: Path) -> None:
    """A name without a file."""
    with pytest.raises(ConstitutionInvalid, match="nobody"):
        load("nobody", tmp_path)
