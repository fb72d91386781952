"""Types of the configuration: sizes, addresses, levels, names."""

from __future__ import annotations

import pytest
from pydantic import TypeAdapter, ValidationError

from gateway.settings.model import Address, Asl, Settings, Size, json_schema


@pytest.mark.parametrize(
    ("text", "size"), [("8MiB", 8 << 20), ("1 GiB", 1 << 30), ("5", 5), (7, 7), ("2KiB", 2048), ("9B", 9)]
)
def test_sizes(text: object, size: int) -> None:
    """Binary units, plain bytes, and numbers."""
    assert TypeAdapter(Size).validate_python(text) == size


@pytest.mark.parametrize("text", ["8MB", "x", "-1", "0", "1.5MiB", ""])
def test_what_is_no_size(text: str) -> None:
    """Decimal units, fractions and nothing are refused."""
    with pytest.raises(ValidationError):
        TypeAdapter(Size).validate_python(text)


@pytest.mark.parametrize(
    ("text", "good"),
    [("127.0.0.1:80", True), ("[::1]:0", True), ("x", False), (":80", False), ("a:70000", False), (5, False)],
)
def test_addresses(text: object, good: bool) -> None:
    """host:port, with a port that exists."""
    if good:
        assert TypeAdapter(Address).validate_python(text) == text
    else:
        with pytest.raises(ValidationError):
            TypeAdapter(Address).validate_python(text)


@pytest.mark.parametrize(("text", "level"), [("asl-1", 1), ("asl-5", 5), (3, 3)])
def test_levels(text: object, level: int) -> None:
    """asl-N or N."""
    assert TypeAdapter(Asl).validate_python(text) == level


@pytest.mark.parametrize("text", ["3", "asl-6", "ASL-3", 0, 6, True, None])
def test_what_is_no_level(text: object) -> None:
    """ASL 6, a bare string of a number and a flag are no levels."""
    with pytest.raises(ValidationError):
        TypeAdapter(Asl).validate_python(text)


def test_the_schema_is_a_schema_of_every_key() -> None:
    """The published JSON Schema names every setting."""
    assert set(json_schema()["properties"]) == set(Settings.model_fields)
