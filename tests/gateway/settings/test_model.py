"""The shape of the configuration: what each kind of value takes and refuses."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as options
from hypothesis import strategies as st
from pydantic import ValidationError
from support.config_files import faults_of, model, settings

from gateway.settings.documents import Document
from gateway.settings.faults import ConfigInvalid
from gateway.settings.findings import validate
from gateway.settings.model import (
    DIALECTS,
    UNITS,
    AdminListener,
    Deadlines,
    LimitSettings,
    Listener,
    ModelSettings,
    Secret,
    Settings,
    UpstreamSettings,
    is_loopback,
)


def accepts(kind: type, **data: Any) -> bool:
    """Whether a model takes the data as it would stand in a file."""
    try:
        validate(kind, Document("f", data))
    except ConfigInvalid:
        return False
    return True


@pytest.mark.parametrize(
    ("text", "size"), [("8MiB", 8 << 20), ("1 KiB", 1024), ("2GiB", 2 << 30), ("17", 17), ("5B", 5), (9, 9)]
)
def test_sizes_have_binary_units(text: object, size: int) -> None:
    """A number of bytes, with or without a unit."""
    assert validate(LimitSettings, Document("f", {"body": text})).body == size


@pytest.mark.parametrize("text", ["8Mb", "8MB", "-1", "1.5MiB", "", "MiB", "٣MiB", 0, "0", True, "9" * 13])
def test_what_is_no_size_is_refused(text: object) -> None:
    """Decimal units, fractions, nothing and other digits are not guessed at."""
    assert not accepts(LimitSettings, body=text)


@pytest.mark.parametrize("text", ["127.0.0.1:8080", "localhost:0", "[::1]:65535", "0.0.0.0:1", "gateway_1.internal:80"])
def test_addresses_are_host_and_port(text: str) -> None:
    """IPv6 stands in brackets."""
    assert accepts(Listener, address=text)


@pytest.mark.parametrize(
    "text", ["8080", ":8080", "::1:8080", "h:65536", "h:-1", "h:x", "h:", "h:٣", "a b:1", "[]:1", "http://h:1", 8080]
)
def test_what_is_no_address_is_refused(text: object) -> None:
    """Ports out of range, hosts without name and bare IPv6 are refused."""
    assert not accepts(Listener, address=text)


@pytest.mark.parametrize("url", ["http://127.0.0.1:9000", "https://host", "http://[::1]:9/"])
def test_an_upstream_is_an_origin(url: str) -> None:
    """Scheme, host and port; a lone slash at the end is dropped."""
    assert validate(UpstreamSettings, Document("f", {"url": url})).url == url.removesuffix("/")


@pytest.mark.parametrize(
    "url",
    [
        "http://h/v1",
        "ftp://h",
        "h:80",
        "http://user:secret@h",
        "http://h:99999",
        "http://h:0",
        "http://h?x",
        "http://[::1",
        "http://:80",
        "http://h h",
    ],
)
def test_an_upstream_with_more_than_an_origin_is_refused(url: str) -> None:
    """Paths are the dialects', and credentials have no place in a URL."""
    assert not accepts(UpstreamSettings, url=url)


def test_a_refused_url_is_not_repeated() -> None:
    """A credential that stands in a URL by mistake is not in the fault."""
    (fault,) = faults_of(lambda: validate(UpstreamSettings, Document("f", {"url": "http://user:hunter2@h"})))
    assert "hunter2" not in str(fault)


@pytest.mark.parametrize(("asl", "level"), [("asl-1", 1), ("asl-5", 5), (3, 3)])
def test_a_level_is_written_either_way(asl: object, level: int) -> None:
    """``asl-3`` and 3 are the same."""
    assert model(asl=asl).asl == level  # type: ignore[arg-type]  # the text form is what this test is about


@pytest.mark.parametrize("asl", ["asl-6", "3", 0, 6, True, 3.0, "ASL-3", None, "asl-3 "])
def test_what_is_no_level_is_refused(asl: object) -> None:
    """Nothing is rounded, trimmed or read from text that only looks like a number."""
    with pytest.raises(ValidationError):
        model(asl=asl)  # type: ignore[arg-type]  # the wrong kinds are what this test is about


@pytest.mark.parametrize("secret", [{}, {"env": "A", "file": "b"}, {"env": ""}, "sk-secret"])
def test_a_secret_is_exactly_one_reference(secret: Any) -> None:
    """Neither none nor both, and never the secret itself, which no fault repeats."""
    found = faults_of(lambda: validate(UpstreamSettings, Document("f", {"url": "http://h", "key": secret})))
    assert found
    assert "sk-secret" not in "".join(map(str, found))


def test_one_reference_is_enough() -> None:
    """A variable or a file."""
    assert accepts(Secret, env="KEY")
    assert accepts(Secret, file="/run/key")


@pytest.mark.parametrize("seconds", [0, -1, float("nan"), float("inf"), "10", 86_401])
def test_deadlines_are_finite_and_positive(seconds: object) -> None:
    """No deadline is off, endless or text."""
    assert not accepts(Deadlines, head=seconds)


def test_settings_do_not_change() -> None:
    """A loaded configuration is frozen."""
    with pytest.raises(ValidationError):
        settings().state = settings().state  # type: ignore[misc]  # that it cannot be assigned is the claim


def test_every_dialect_is_spoken_by_default() -> None:
    """A model server is taken to speak all dialects of this version."""
    assert model().upstream.dialects == DIALECTS


@pytest.mark.parametrize(
    ("host", "own"),
    [
        ("127.0.0.1", True),
        ("127.9.9.9", True),
        ("::1", True),
        ("[::1]", True),
        ("localhost", True),
        ("0.0.0.0", False),
        ("[::]", False),
        ("10.0.0.1", False),
        ("localhost.evil.test", False),
        ("", False),
    ],
)
def test_loopback_is_told_from_the_rest(host: str, own: bool) -> None:
    """Names but one are not looked up: whoever answers for them could answer anything."""
    assert is_loopback(host) is own


@pytest.mark.parametrize(
    ("given", "sound"),
    [
        ({"address": "127.0.0.1:0"}, True),
        ({"address": "[::1]:0"}, True),
        ({"address": "0.0.0.0:0"}, False),
        ({"address": "gateway.internal:80"}, False),
        ({"address": "0.0.0.0:0", "plaintext": True}, True),
        ({"address": "0.0.0.0:0", "tls": {"cert": "c", "key": "k"}}, True),
        ({"address": "0.0.0.0:0", "tls": {"cert": "c"}}, False),
        ({"address": "127.0.0.1:0", "tls": {"cert": "c", "key": "k", "client_required": "no"}}, False),
    ],
)
def test_off_loopback_the_admin_plane_is_sealed_or_said_not_to_be(given: dict[str, object], sound: bool) -> None:
    """Nobody puts an operator token onto a network in clear by leaving something out."""
    assert accepts(AdminListener, **given) is sound


@pytest.mark.parametrize(
    ("value", "fits"),
    [("auto", True), (0, True), (64, True), (65, False), (-1, False), (True, False), ("many", False), (1.5, False)],
)
def test_screeners_are_a_number_or_auto(value: object, fits: bool) -> None:
    """A count within bounds; nothing is guessed."""
    served = {"name": "m", "asl": 3, "upstream": {"url": "http://127.0.0.1:9"}}
    assert accepts(Settings, models=[served], screeners=value) == fits


TEXTS = st.text(max_size=24) | st.text("0123456789 KMGiB.-+:[]/@?#httpslocalhost_٣²", max_size=24)


@options(max_examples=300, deadline=None)
@given(TEXTS, TEXTS, TEXTS, st.one_of(TEXTS, st.integers(-9, 9), st.booleans(), st.none(), st.floats()))
def test_any_value_is_taken_or_a_fault(size: str, address: str, url: str, asl: object) -> None:
    """Sizes, addresses, origins and levels are total: a value of the right range, or ConfigInvalid that names the key."""
    for kind, key, value in (
        (LimitSettings, "body", size),
        (Listener, "address", address),
        (UpstreamSettings, "url", url),
    ):
        accepts(kind, **{key: value})
    with contextlib.suppress(ConfigInvalid):
        taken = validate(ModelSettings, Document("f", {"name": "m", "asl": asl, "upstream": {"url": "http://h"}})).asl
        assert type(taken) is int
        assert 1 <= taken <= 5


@given(st.integers(1, 10**12 - 1), st.sampled_from(list(UNITS.items())), st.sampled_from(["", " ", "  "]))
def test_a_size_is_its_number_times_its_unit(number: int, unit: tuple[str, int], gap: str) -> None:
    """Every number in every unit is read exactly."""
    assert validate(LimitSettings, Document("f", {"body": f"{number}{gap}{unit[0]}"})).body == number * unit[1]


@given(st.from_regex(r"[a-z0-9.-]{1,20}", fullmatch=True) | st.just("[::1]"), st.integers(0, 99_999))
def test_an_address_is_taken_exactly_up_to_the_last_port(host: str, port: int) -> None:
    """Host and port are taken if and only if the port exists."""
    assert accepts(Listener, address=f"{host}:{port}") == (port <= 65_535)
