from __future__ import annotations

import json

import pytest
from pydantic import ValidationError

from gateway.settings.kinds import Secret, Strict, checked_origin


class Example(Strict):
    """One of everything that strictness is about."""

    number: int = 1


def test_nothing_unknown_and_nothing_converted() -> None:
    """Unknown keys, text for numbers and changes after loading are refused."""
    for wrong in ({"numbr": 1}, {"number": "1"}, {"number": True}):
        with pytest.raises(ValidationError):
            Example(**wrong)  # type: ignore[arg-type]  # that is what is tested
    with pytest.raises(ValidationError):
        Example().number = 2


def test_an_origin_is_scheme_host_and_port() -> None:
    """A slash behind goes; a path, a user, a query or a port 0 is refused."""
    assert checked_origin("http://127.0.0.1:8001/") == "http://127.0.0.1:8001"
    for wrong in ("127.0.0.1:80", "http://a/v1", "http://u:p@a", "http://a:0", "ftp://a", "http://a?x", "http://a:x"):
        with pytest.raises(ValueError, match="scheme, host and port"):
            checked_origin(wrong)


def test_a_secret_is_in_one_place() -> None:
    """Exactly one of env and file."""
    assert Secret(env="KEY").env == "KEY"
    for wrong in ({}, {"env": "KEY", "file": "/k"}):
        with pytest.raises(ValidationError):
            Secret.model_validate_json(json.dumps(wrong))
