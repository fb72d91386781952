from __future__ import annotations

import pytest

from classifiers.guards.families import FAMILIES


def test_the_list() -> None:
    """These families are known and no others, each under its own name."""
    assert list(FAMILIES) == [
        "llama-guard",
        "qwen3guard",
        "shieldgemma",
        "granite-guardian",
        "granite-guardian-3.2",
        "wildguard",
    ]


@pytest.mark.parametrize("name", FAMILIES)
def test_every_question_is_of_one_form(name: str) -> None:
    """A turn or a whole prompt, with the text in it, and a bounded answer."""
    for ask in FAMILIES[name].asks("the amber kestrel"):
        assert (ask.chat is None) is not (ask.prompt is None)
        assert "the amber kestrel" in (ask.chat or ask.prompt or "")
        assert 1 <= ask.tokens <= 64
    assert set(FAMILIES[name].labels.values()) <= {"cbrn", "other_harm", "none"}
