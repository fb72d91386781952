"""The words of the tables."""

from __future__ import annotations

from gateway.wire.treatment import Treatment


def test_the_words_of_the_tables() -> None:
    """These words stand in the documentation: none is renamed, added or lost unnoticed."""
    assert [word.value for word in Treatment] == ["screened", "inert", "routed", "reported", "refused"]
