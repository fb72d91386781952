from __future__ import annotations

from gateway.controls.benign import benign


def test_the_sample_is_large_enough_and_has_no_doubles() -> None:
    """A few hundred different sentences, none of them empty."""
    sentences = benign()
    assert len(sentences) == len(set(sentences)) >= 300
    assert all(sentence == sentence.strip() != "" for sentence in sentences)
