from __future__ import annotations

from classifiers.base import Scored, Window
from classifiers.cache import ScoreCache


def scored(windows: int) -> Scored:
    return Scored(tuple(Window(index, index + 1, (0.5,)) for index in range(windows)), windows)


def cache(most: int = 10, digest: str = "model", secret: bytes = b"secret") -> ScoreCache:
    return ScoreCache(digest, secret, most)


def test_keeps_and_finds() -> None:
    """What was put under a key is found under it, nothing under another."""
    kept = cache()
    kept.put(kept.key("text"), scored(2))
    assert kept.get(kept.key("text")) == scored(2)
    assert kept.get(kept.key("text ")) is None


def test_keys_depend_on_model_secret_and_text() -> None:
    """Another model, another secret or another text has another key; lone surrogates have one too."""
    keys = {cache().key("a"), cache(digest="other").key("a"), cache(secret=b"other").key("a"), cache().key("\ud800")}
    assert len(keys) == 4


def test_bound_counts_windows_and_drops_the_oldest() -> None:
    """Beyond the bound the least recently used message goes."""
    kept = cache(most=4)
    for text in "abc":
        kept.put(kept.key(text), scored(2 if text == "c" else 1))
    assert kept.get(kept.key("a")) is not None
    kept.put(kept.key("d"), scored(1))
    assert kept.get(kept.key("b")) is None
    assert kept.get(kept.key("a")) is not None
    assert kept.get(kept.key("c")) is not None


def test_too_large_a_message_is_not_kept() -> None:
    """One huge message does not empty the cache for nothing."""
    kept = cache(most=4)
    kept.put(kept.key("small"), scored(1))
    kept.put(kept.key("huge"), scored(5))
    assert kept.get(kept.key("huge")) is None
    assert kept.get(kept.key("small")) is not None


def test_empty_messages_count_too() -> None:
    """Messages without windows cannot fill memory."""
    kept = cache(most=2)
    for text in "abc":
        kept.put(kept.key(text), scored(0))
    assert kept.get(kept.key("a")) is None
    assert kept.get(kept.key("c")) == scored(0)


def test_putting_again_counts_once() -> None:
    """Replacing an entry frees what it took."""
    kept = cache(most=4)
    for _ in range(5):
        kept.put(kept.key("a"), scored(2))
    kept.put(kept.key("b"), scored(2))
    assert kept.get(kept.key("a")) is not None
