"""Validation: strict kinds, all findings at their places, suggestions."""

from __future__ import annotations

import datetime as dt

import pytest
from support.config_files import faults_of

from gateway.settings.documents import Document, Place
from gateway.settings.faults import Fault
from gateway.settings.findings import annotation_at, ordered, validate
from gateway.settings.levels import LevelFile
from gateway.settings.model import LimitSettings, ModelSettings, Settings
from gateway.settings.rules import RuleEntry

RULE = {"id": "r", "category": "cbrn", "match": {"literal": "amber"}, "reason": "x"}


def messages(model: type, data: object) -> list[str]:
    """Key, message and suggestion of every finding."""
    return [
        f"{f.key}: {f.message} {f.suggestion}".strip() for f in faults_of(lambda: validate(model, Document("f", data)))
    ]


def test_a_valid_document_becomes_its_model() -> None:
    """Lists become tuples and dates stay dates; nothing else is converted."""
    entry = validate(RuleEntry, Document("f", {**RULE, "expires": dt.date(2027, 5, 1)}))
    assert entry.expires == dt.date(2027, 5, 1)


@pytest.mark.parametrize("value", ["2000", True, 1.5, None, [1]])
def test_kinds_are_not_converted(value: object) -> None:
    """A number in quotes, a truth value and a fraction are no whole number."""
    assert [line.split(":")[0] for line in messages(LimitSettings, {"streams": value})] == ["streams"]


def test_all_findings_come_at_once_in_reading_order() -> None:
    """Every key at fault is reported, sorted by place."""
    places = {("streams",): Place("f", 3, 1), ("bdy",): Place("f", 1, 1), ("answer",): Place("f", 2, 1)}
    document = Document("f", {"streams": "x", "bdy": 1, "answer": "8Mb"}, places)
    found = faults_of(lambda: validate(LimitSettings, document))
    assert [(fault.line, fault.key) for fault in found] == [(1, "bdy"), (2, "answer"), (3, "streams")]
    assert found[0].suggestion == "body"


def test_suggestions_come_from_the_level_of_the_key() -> None:
    """A nested unknown key is compared with its neighbours, in lists and optional mappings too."""
    model = {"name": "m", "asl": 3, "upstream": {"url": "http://h", "key": {"enw": "X"}, "dialekts": ["openai.chat"]}}
    found = messages(Settings, {"models": [model]})
    assert "models[0].upstream.key.enw: unknown key env" in found
    assert "models[0].upstream.dialekts: unknown key dialects" in found


def test_a_mistyped_choice_is_suggested_too() -> None:
    """Enumerations name what was probably meant."""
    data = {"asl": 1, "summary": "s", "serving": "halt", "refuse": ["logprob"]}
    found = messages(LevelFile, data)
    assert found[0].startswith("refuse[0]: ")
    assert found[0].endswith(" logprobs")
    assert found[1].endswith(" halted")


def test_a_choice_of_another_kind_has_no_suggestion() -> None:
    """A number where a word belongs is like no word."""
    assert [
        fault.suggestion
        for fault in faults_of(lambda: validate(LevelFile, Document("f", {"asl": 1, "summary": "s", "hold": 3})))
    ] == [""]


def test_faults_of_the_text_come_with_those_of_the_model() -> None:
    """Duplicate keys and wrong kinds are told together, and no place twice."""
    read = Fault("f", 9, 1, "streams", "the same key twice")
    found = faults_of(lambda: validate(LimitSettings, Document("f", {"streams": "x", "answer": []}, {}, (read,))))
    assert [fault.key for fault in found] == ["answer", "streams"]
    assert faults_of(lambda: validate(LimitSettings, Document("f", {}, {}, (read,)))) == (read,)


def test_a_list_of_wrong_items_is_not_called_empty() -> None:
    """Only an empty list is."""
    assert messages(Settings, {"models": []}) == ["models: is empty"]
    assert messages(Settings, {"models": [3]}) == ["models[0]: is not a mapping"]


@pytest.mark.parametrize("data", [None, [], "x", 3, "\ud800"])
def test_what_is_no_mapping_is_said_so(data: object) -> None:
    """A file that holds something else is one fault."""
    assert len(messages(Settings, data)) == 1


def test_the_type_of_a_key_is_found_by_its_location() -> None:
    """Through lists and options; unknown keys have none."""
    assert annotation_at(Settings, ("models", 0, "asl")) is int
    assert annotation_at(Settings, ("models",)) == tuple[ModelSettings, ...]
    assert annotation_at(Settings, ("models", 0, "nothing", "below")) is None
    assert annotation_at(Settings, ("state", "below")) is None


def test_order_drops_doubles() -> None:
    """The same fault is told once."""
    one, two = Fault("a", 2, 1, "", "x"), Fault("a", 1, 1, "", "y")
    assert ordered([one, two, one]) == [two, one]
