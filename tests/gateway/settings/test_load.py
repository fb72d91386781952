"""Layers, cross checks, secrets, and the check of everything that a file refers to."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

import gateway
from gateway.settings.faults import ConfigInvalid
from gateway.settings.load import builtin_dir, check, levels_of, load, rules_of, secret_of

MODEL = "models:\n  - {name: m, asl: asl-3, upstream: {url: http://127.0.0.1:9000}}\n"
FLAGS = {"models": [{"name": "m", "asl": 3, "upstream": {"url": "http://127.0.0.1:1"}}]}
CONTROLS = {"halt", "rules", "lexicon", "input_screen", "output_screen", "harm_screen"}


def write(tmp_path: Path, text: str) -> Path:
    """A configuration file."""
    path = tmp_path / "gateway.yaml"
    path.write_text(text)
    return path


def test_flags_beat_environment_beats_file_beats_defaults(tmp_path: Path) -> None:
    """Each layer wins over the one below it, key by key."""
    file = write(tmp_path, MODEL + "limits: {body: 1KiB, streams: 5}\nadmin: {address: 127.0.0.1:1}\n")
    environment = {"ASL_GATEWAY__LIMITS__BODY": "2KiB", "ASL_GATEWAY__CLASSIFIERS": "false", "OTHER": "x"}
    made = load(file, environment, {"limits": {"streams": 7}})
    assert (made.limits.body, made.limits.streams, made.limits.in_flight) == (2048, 7, 256 << 20)
    assert made.admin.address == "127.0.0.1:1"
    assert made.classifiers is False


def test_paths_in_a_file_are_relative_to_it(tmp_path: Path) -> None:
    """A configuration works from any directory."""
    made = load(write(tmp_path, MODEL + "state: here\nrules: rules\n"), {}, {})
    assert (made.state, made.rules, made.levels) == (tmp_path / "here", tmp_path / "rules", None)


def test_without_a_file(tmp_path: Path) -> None:
    """Flags alone make a configuration; built-in levels and no rules."""
    made = load(None, {}, FLAGS)
    assert len(levels_of(made)) == 5
    assert rules_of(made) == ()
    with pytest.raises(ConfigInvalid, match="models"):
        load(None, {}, {})


def test_clashes_are_found(tmp_path: Path) -> None:
    """Names used twice, dialects that do not exist, and secrets that are not one reference."""
    text = """
models:
  - {name: m, aliases: [x], asl: asl-3, upstream: {url: "http://a", dialects: [openai.vision], key: {}}}
  - {name: x, asl: asl-3, upstream: {url: "http://a"}}
"""
    with pytest.raises(ConfigInvalid) as error:
        load(write(tmp_path, text), {}, {})
    message = str(error.value)
    assert "'x' is registered twice" in message
    assert "no dialect" in message
    assert "exactly one of env and file" in message


def test_a_file_that_is_no_mapping(tmp_path: Path) -> None:
    """A list is not a configuration."""
    with pytest.raises(ConfigInvalid, match="mapping"):
        load(write(tmp_path, "- a\n"), {}, {})


def test_secrets_come_from_where_they_are_kept(tmp_path: Path) -> None:
    """Environment or file; a missing one is a fault that names it."""
    (tmp_path / "key").write_text("abc\n")
    assert secret_of("KEY", None, {"KEY": "xyz"}) == "xyz"
    assert secret_of(None, tmp_path / "key", {}) == "abc"
    with pytest.raises(ConfigInvalid, match="KEY: is not set"):
        secret_of("KEY", None, {})
    with pytest.raises(ConfigInvalid, match="No such file"):
        secret_of(None, tmp_path / "none", {})


def test_check_reports_everything_that_a_file_refers_to(tmp_path: Path) -> None:
    """Levels with controls that do not exist and faulty rules are found without starting."""
    good = write(tmp_path, MODEL)
    assert check(good, {}, CONTROLS) == []
    assert [fault.message for fault in check(good, {}, CONTROLS - {"lexicon"})] == ["there is no control 'lexicon'"] * 2
    shutil.copytree(builtin_dir() / "levels", tmp_path / "levels")
    (tmp_path / "levels" / "asl-2.yaml").write_text("nonsense: 1\n")
    bad = write(tmp_path, MODEL + "levels: levels\nrules: none\n")
    assert {Path(fault.file).name for fault in check(bad, {}, CONTROLS)} == {"asl-2.yaml", "none"}
    assert check(write(tmp_path, "models: []\n"), {}, CONTROLS)


def test_built_in_files_of_a_wheel_come_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An installed package has its files beside it."""
    (tmp_path / "builtin").mkdir()
    monkeypatch.setattr(gateway, "__file__", str(tmp_path / "__init__.py"))
    assert builtin_dir() == tmp_path / "builtin"
