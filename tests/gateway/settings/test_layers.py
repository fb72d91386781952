"""Layers: which one wins, where each value comes from, and what cannot be set."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.config_files import SMALL, faults_of, write

from gateway.settings.documents import Place
from gateway.settings.layers import layered
from gateway.settings.load import load
from gateway.settings.model import Settings


def loaded(tmp_path: Path, text: str = SMALL, environment: Mapping[str, str] | None = None, **flags: Any) -> Settings:
    """Settings from a file, variables and flags."""
    return load(write(tmp_path / "g.yaml", text), environment or {}, flags)


def test_each_layer_wins_over_the_one_below(tmp_path: Path) -> None:
    """Defaults < file < environment < flags, key by key."""
    text = SMALL + "limits: {body: 1MiB, answer: 1MiB, streams: 1}\n"
    environment = {"ASL_GATEWAY__LIMITS__ANSWER": "2MiB", "ASL_GATEWAY__LIMITS__STREAMS": "2"}
    found = loaded(tmp_path, text, environment, limits={"streams": 3}).limits
    assert (found.in_flight, found.body, found.answer, found.streams) == (256 << 20, 1 << 20, 2 << 20, 3)


@pytest.mark.parametrize(
    ("name", "text", "read"),
    [
        ("STATE", "123", lambda s: str(s.state) == "123"),
        ("LEVELS", "7", lambda s: str(s.levels) == "7"),
        ("STORE", "sqlite", lambda s: s.store == "sqlite"),
        ("CLASSIFIERS", "false", lambda s: s.classifiers is False),
        ("DEADLINES__IDLE", "1.5", lambda s: s.deadlines.idle == 1.5),
        ("HOSTS", '["a", "b"]', lambda s: s.hosts == ("a", "b")),
        ("LIMITS__BODY", "5", lambda s: s.limits.body == 5),
        ("LISTEN__ADDRESS", "h:1", lambda s: s.listen.address == "h:1"),
        (
            "LISTEN__TLS",
            '{"cert": "c", "key": "k"}',
            lambda s: (str(s.listen.tls.cert), s.listen.address[-5:]) == ("c", ":8080"),
        ),
        ("ADMIN__PLAINTEXT", "true", lambda s: s.admin.plaintext is True),
        ("PROBES__ADDRESS", "127.0.0.1:82", lambda s: s.probes.address == "127.0.0.1:82"),
        ("MODELS", '[{"name": "x", "asl": "asl-2", "upstream": {"url": "http://h"}}]', lambda s: s.models[0].asl == 2),
    ],
)
def test_a_variable_is_read_as_the_kind_that_its_key_wants(tmp_path: Path, name: str, text: str, read: Any) -> None:
    """Text stays text, numbers become numbers, lists are JSON."""
    assert read(loaded(tmp_path, environment={f"ASL_GATEWAY__{name}": text}))


def test_other_variables_are_left_alone(tmp_path: Path) -> None:
    """Only the prefix with two underscores is ours."""
    assert loaded(tmp_path, environment={"ASL_GATEWAY_STATE": "elsewhere", "STATE": "x"}).state == Path("state")


@pytest.mark.parametrize(
    ("environment", "fault"),
    [
        ({"LIMITS__BDY": "1"}, "ASL_GATEWAY__LIMITS__BDY: limits.bdy: unknown key (did you mean 'body'?)"),
        ({"LIMITS__STREAMS": "many"}, "ASL_GATEWAY__LIMITS__STREAMS: limits.streams: is not a whole number"),
        ({"LIMITS": "[" * 9999}, "ASL_GATEWAY__LIMITS: limits: is not a mapping"),
        ({"NOTHING__AT__ALL": "1"}, "ASL_GATEWAY__NOTHING__AT__ALL: nothing: unknown key"),
        (
            {"STATE__X": "1", "STATE": "s"},
            "ASL_GATEWAY__STATE__X: state.x: cannot be set: state is not a mapping of settings",
        ),
        (
            {"MODELS__0__ASL": "1"},
            "ASL_GATEWAY__MODELS__0__ASL: models.0.asl: cannot be set: models is not a mapping of settings",
        ),
    ],
)
def test_a_fault_of_a_variable_names_the_variable(tmp_path: Path, environment: Mapping[str, str], fault: str) -> None:
    """Not the file, whose value it replaced."""
    named = {f"ASL_GATEWAY__{name}": text for name, text in environment.items()}
    assert [str(found) for found in faults_of(lambda: loaded(tmp_path, environment=named))] == [fault]


def test_a_fault_of_a_flag_names_the_flag() -> None:
    """Each flag of ``serve`` is known by its own name; other keys by the command line."""
    flags = {
        "listen": {"address": "x"},
        "deadlines": {"idle": 0},
        "models": [{"name": "m m", "aliases": ["ok", ""], "asl": 7, "upstream": {"url": "x"}}],
    }
    found = {fault.file for fault in faults_of(lambda: load(None, {}, flags))}
    assert found == {"--listen", "command line", "--model", "--alias", "--asl", "--upstream"}


def test_the_form_without_a_file_makes_the_same_settings(tmp_path: Path) -> None:
    """A file and flags that say the same are equal."""
    flags = {
        "state": "/s",
        "models": [{"name": "m", "aliases": [], "asl": 3, "upstream": {"url": "http://127.0.0.1:9"}}],
    }
    assert load(None, {}, flags) == loaded(tmp_path, "state: /s\n" + SMALL.lstrip("\n"))


def test_paths_of_the_file_are_relative_to_it_and_others_are_not(tmp_path: Path) -> None:
    """Each path is rooted where it was written."""
    text = """
    levels: levels
    rules: /rules
    models:
      - {name: m, asl: 1, upstream: {url: "http://h", ca: ca.pem, socket: s, key: {file: k}}}
    """
    found = loaded(tmp_path, text, {"ASL_GATEWAY__STATE": "here"})
    assert (found.levels, found.rules, found.state) == (tmp_path / "levels", Path("/rules"), Path("here"))
    upstream = found.models[0].upstream
    assert upstream.key is not None
    assert (upstream.ca, upstream.socket, upstream.key.file) == (tmp_path / "ca.pem", tmp_path / "s", tmp_path / "k")


@pytest.mark.parametrize(
    "text", ["models: 3", "models: [3]", "models: [{upstream: 3}]", "models: [{upstream: {key: 3, ca: 3}}]"]
)
def test_rooting_survives_any_shape(tmp_path: Path, text: str) -> None:
    """What is not where it should be is left to validation."""
    assert faults_of(lambda: loaded(tmp_path, text))


def test_a_file_that_is_no_mapping_takes_no_layers(tmp_path: Path) -> None:
    """The list stays a list, and validation says so."""
    document = layered(write(tmp_path / "g.yaml", "- 1\n"), {"ASL_GATEWAY__STATE": "x"}, {})
    assert document.data == [1]


def test_a_replaced_value_has_its_new_place(tmp_path: Path) -> None:
    """Places below a replaced list are those of the layer that replaced it."""
    file = write(tmp_path / "g.yaml", SMALL)
    document = layered(file, {"ASL_GATEWAY__MODELS": '[{"name": "x", "aliases": ["y"]}]'}, {})
    assert document.place(("models", 0, "name")) == Place("ASL_GATEWAY__MODELS")
    assert document.place(("models", 0, "asl")) == Place("ASL_GATEWAY__MODELS")


@settings(max_examples=100)
@given(
    environment=st.dictionaries(
        st.text("ABC_", max_size=8).map(lambda name: f"ASL_GATEWAY__{name}") | st.just("ASL_GATEWAY__MODELS__X"),
        st.text(max_size=10),
        max_size=4,
    )
)
def test_any_environment_is_faults_and_never_a_crash(environment: dict[str, str]) -> None:
    """Whatever the names and values, loading raises ConfigInvalid with at least one fault (there are no models)."""
    assert faults_of(lambda: load(None, environment, {}))


def test_flags_of_listeners_add_to_the_file(tmp_path: Path) -> None:
    """A certificate on the command line leaves the file's address and CA, and its faults name their flag."""
    text = SMALL + "listen: {address: 127.0.0.1:9, tls: {client_ca: ca.pem, cert: a, key: b}}\n"
    found = loaded(tmp_path, text, listen={"tls": {"cert": "/c", "key": "/k"}}).listen
    assert (found.address, found.tls and found.tls.cert, found.tls and found.tls.key) == (
        "127.0.0.1:9",
        Path("/c"),
        Path("/k"),
    )
    assert found.tls is not None
    assert (found.tls.client_ca, found.tls.client_required) == (tmp_path / "ca.pem", True)
    flags = {"listen": {"tls": {"cert": 1}}, "admin": {"tls": {"key": 2}}, "probes": {"address": "x"}}
    named = {fault.file for fault in faults_of(lambda: loaded(tmp_path, **flags))}
    assert {"--tls-cert", "--admin-tls-key", "--probes-listen"} <= named
