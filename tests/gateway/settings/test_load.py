"""Loading and checking: built-in files, clashes, references, all faults in one go."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.config_files import SMALL, copied_levels, faults_of, settings, write

from gateway.settings import load as module
from gateway.settings.faults import Fault
from gateway.settings.load import builtin_dir, check, levels_of, load, rules_of, secret_of

CONTROLS = {"halt", "rules", "lexicon", "input_screen", "output_screen", "harm_screen"}
RULE = '- {id: rr-1, category: cbrn, match: {literal: "amber kestrel protocol"}, reason: x}\n'


def test_built_in_files_are_in_the_checkout_or_in_the_wheel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beside the package where it was installed, in config/ where it is worked on."""
    assert builtin_dir() == Path(module.__file__).parents[2] / "config"
    package = tmp_path / "gateway"
    (package / "builtin").mkdir(parents=True)
    monkeypatch.setattr(module, "__file__", str(package / "settings" / "load.py"))
    assert builtin_dir() == package / "builtin"


def test_names_and_aliases_are_registered_once(tmp_path: Path) -> None:
    """A name twice, an alias of another model's name, an alias of its own: each is at its place, beside other faults."""
    text = """
    models:
      - {name: a, aliases: [b, a], asl: 3, upstream: {url: "http://h"}}
      - {name: b, aliases: 7, asl: 9, upstream: {url: "http://h"}}
      - 5
    """
    file = write(tmp_path / "g.yaml", text)
    found = [(fault.line, fault.key, fault.message) for fault in faults_of(lambda: load(file, {}, {}))]
    assert found == [
        (3, "models[0].aliases[1]", "'a' is registered twice"),
        (4, "models[1].name", "'b' is registered twice"),
        (4, "models[1].aliases", "is not a list"),
        (4, "models[1].asl", "is not a level: asl-1 to asl-5"),
        (5, "models[2]", "is not a mapping"),
    ]


def test_a_clash_alone_is_enough(tmp_path: Path) -> None:
    """Settings that are valid key by key are refused for it."""
    file = write(tmp_path / "g.yaml", SMALL + SMALL.splitlines()[2] + "\n")
    assert [fault.message for fault in faults_of(lambda: load(file, {}, {}))] == ["'m' is registered twice"]


@pytest.mark.parametrize("text", ["", "3", "[]", "models:\n", "models: 3"])
def test_a_file_without_settings_is_refused(tmp_path: Path, text: str) -> None:
    """Also a half-written one."""
    assert len(faults_of(lambda: load(write(tmp_path / "g.yaml", text), {}, {}))) == 1


def test_levels_are_the_built_in_ones_or_at_least_as_strict(tmp_path: Path) -> None:
    """Without a directory, and with a copy of the built-in ones, they are the same; names are checked where they are known."""
    copy = settings(levels=copied_levels(tmp_path))
    builtin = settings(levels=builtin_dir() / "levels")
    assert levels_of(settings()) == levels_of(copy) == levels_of(builtin)
    assert {fault.message for fault in faults_of(lambda: levels_of(copy, CONTROLS - {"lexicon"}))} == {
        "there is no control 'lexicon'"
    }


def test_rules_are_read_where_a_directory_is_named(tmp_path: Path) -> None:
    """Without one there are none from files."""
    write(tmp_path / "a.yaml", RULE)
    assert [rule.id for rule in rules_of(settings(rules=tmp_path))] == ["rr-1"]
    assert rules_of(settings()) == ()


def test_a_secret_is_read_from_its_place(tmp_path: Path) -> None:
    """From a variable or a file, without the line end."""
    file = write(tmp_path / "key", "sk-1\n")
    assert secret_of("KEY", None, {"KEY": "sk-2 "}) == "sk-2"
    assert secret_of(None, file, {}) == "sk-1"


def test_a_secret_that_is_not_there_is_a_fault(tmp_path: Path) -> None:
    """Unset, empty, missing, not text: none of them becomes an empty credential."""
    (tmp_path / "empty").write_bytes(b" \n")
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    cases = {
        "environment: KEY: is not set": lambda: secret_of("KEY", None, {"KEY": " "}),
        f"{tmp_path}/none: cannot be read: No such file or directory": lambda: secret_of(None, tmp_path / "none", {}),
        f"{tmp_path}/empty: is empty": lambda: secret_of(None, tmp_path / "empty", {}),
        f"{tmp_path}/binary: cannot be read: is not UTF-8 text": lambda: secret_of(None, tmp_path / "binary", {}),
    }
    for text, act in cases.items():
        assert [str(fault) for fault in faults_of(act)] == [text]


def test_a_good_configuration_has_no_faults(tmp_path: Path) -> None:
    """With everything that it refers to."""
    write(tmp_path / "rules" / "a.yaml", RULE)
    write(tmp_path / "ca.pem", "x")
    text = """
    rules: rules
    models:
      - {name: m, asl: 3, upstream: {url: "https://h", ca: ca.pem, key: {env: KEY}}}
    """
    assert check(write(tmp_path / "g.yaml", text), {"KEY": "x"}, CONTROLS) == []


def test_a_check_finds_every_fault_of_everything(tmp_path: Path) -> None:
    """Settings, levels, rules, secrets and certificates, each in its own file, in one go."""
    text = """
    levels: levels
    rules: rules
    models:
      - {name: m, asl: 3, upstream: {url: "https://h", ca: ca.pem, key: {env: KEY}}}
      - {name: n, asl: 3, upstream: {url: "https://h", key: {file: none}}}
    """
    copied_levels(tmp_path / "levels", asl_2="asl: 2\n")
    write(tmp_path / "rules" / "a.yaml", RULE)
    found = check(write(tmp_path / "g.yaml", text), {}, CONTROLS, objection=lambda rule: f"{rule.id} has no bound")
    assert [(Path(fault.file).name, fault.key, fault.message) for fault in found] == [
        ("ca.pem", "models[0].upstream.ca", "is not a file"),
        ("asl-2.yaml", "summary", "is missing"),
        ("none", "", "cannot be read: No such file or directory"),
        ("a.yaml", "rules[0].match", "rr-1 has no bound"),
        ("environment", "KEY", "is not set"),
    ]


def test_a_check_looks_further_when_the_settings_are_at_fault(tmp_path: Path) -> None:
    """Levels and rules are read although a key is unknown; flags count too."""
    file = write(tmp_path / "g.yaml", SMALL + "nonsense: 1\nrules: 3\n")
    found = check(file, {}, CONTROLS, flags={"levels": str(tmp_path / "none")})
    assert {fault.key for fault in found} == {"nonsense", "rules", ""}
    assert sum(fault.message.startswith("cannot be read") for fault in found) == 5


def test_a_check_of_what_is_no_yaml_is_one_fault(tmp_path: Path) -> None:
    """Nothing else can be looked at; a list is one fault as well."""
    assert len(check(write(tmp_path / "g.yaml", "a: ["), {}, CONTROLS)) == 1
    assert len(check(write(tmp_path / "h.yaml", "[]"), {}, CONTROLS)) == 1


def test_a_check_asks_further_where_the_settings_are_sound(tmp_path: Path) -> None:
    """What another room finds in them is one of the faults; settings that are at fault are not shown to it."""
    file = write(tmp_path / "g.yaml", SMALL)
    fault = Fault("server.pem", 0, 0, "listen.tls.cert", "expired")
    assert check(file, {}, CONTROLS, further=lambda _: [fault]) == [fault]
    write(file, SMALL + "limits: {bdy: 1}\n")
    found = check(file, {}, CONTROLS, further=lambda _: [fault])
    assert [one.key for one in found] == ["limits.bdy"]
