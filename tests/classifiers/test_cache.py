from __future__ import annotations

from classifiers.base import Scored, Window
from classifiers.cache import MOST_PARTITIONS, ScoreCache


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


def test_partitions_see_nothing_of_each_other() -> None:
    """The same text of another sender is not found, and comes and goes by itself."""
    kept = cache()
    kept.put(kept.key("text"), scored(2), "one")
    assert kept.get(kept.key("text"), "other") is None
    assert kept.get(kept.key("text")) is None
    kept.put(kept.key("text"), scored(3), "other")
    assert kept.get(kept.key("text"), "one") == scored(2)
    assert kept.get(kept.key("text"), "other") == scored(3)


def test_who_floods_the_cache_drops_its_own() -> None:
    """However much one sender's texts take, a smaller one's stay: being forgotten tells nothing about others."""
    kept = cache(most=10)
    kept.put(kept.key("mine"), scored(2), "small")
    for index in range(50):
        kept.put(kept.key(f"flood {index}"), scored(3), "large")
    assert kept.get(kept.key("mine"), "small") == scored(2)
    assert kept.get(kept.key("flood 49"), "large") is not None
    assert kept.get(kept.key("flood 1"), "large") is None


def test_partitions_are_bounded() -> None:
    """The partition that was used longest ago goes first."""
    kept = cache(most=10 * MOST_PARTITIONS)
    for index in range(MOST_PARTITIONS):
        kept.put(kept.key("text"), scored(1), f"caller {index}")
    assert kept.get(kept.key("text"), "caller 0") is not None
    kept.put(kept.key("text"), scored(1), "one more")
    assert kept.get(kept.key("text"), "caller 1") is None
    assert kept.get(kept.key("text"), "caller 0") is not None
