from __future__ import annotations

import math

import msgspec
import pytest

from classifiers.base import ClassifierInvalid
from classifiers.guards.calls import call, decoded, probability


class Shape(msgspec.Struct):
    score: float


def test_a_reply_of_the_shape() -> None:
    """Unknown fields are passed over; the known ones are of their kinds."""
    assert decoded(b'{"score": 0.5, "more": 1}', Shape).score == 0.5


@pytest.mark.parametrize(
    "reply", [b"", b"{", b"[]", b"{}", b'{"score": "0.5"}', b'{"score": NaN}', b'{"score": null}', b"\xff"]
)
def test_a_reply_of_another_shape(reply: bytes) -> None:
    """Anything else is ClassifierInvalid."""
    with pytest.raises(ClassifierInvalid):
        decoded(reply, Shape)


@pytest.mark.parametrize("value", [math.nan, math.inf, -0.01, 1.01])
def test_no_probability(value: float) -> None:
    """What is not in [0, 1] is no score."""
    with pytest.raises(ClassifierInvalid):
        probability(value)
    assert (probability(0.0), probability(1.0)) == (0.0, 1.0)


def test_a_call_is_json() -> None:
    """The body holds the text whatever it is."""
    assert msgspec.json.decode(call("/x", {"a": 'é"\x00'}).body) == {"a": 'é"\x00'}
