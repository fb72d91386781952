"""``guards:`` of a configuration: its faults have places, its paths are the file's, and level files may name its controls."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.config_files import copied_levels, write

from gateway.settings.load import builtin_dir, check, load
from gateway.settings.reference import keys

CONTROLS = ("halt", "rules", "lexicon", "input_screen", "output_screen", "harm_screen")
MODEL = "models: [{name: m, asl: asl-3, upstream: {url: 'http://127.0.0.1:9'}}]\n"
GUARDS = """guards:
  - {id: lg3, kind: vllm, model: guard, family: llama-guard, urls: ['http://127.0.0.1:8001/'], key: {file: key}, ca: ca.pem}
  - {id: own, kind: transformer, folder: weights, pins: {config.json: "00"}, categories: {a: none, b: cbrn}}
"""
GROUP = "  - {name: guard_input, standard: deployment, direction: input, members: [guard_lg3, lexicon]}\n"


def levels(directory: Path, group: str = GROUP) -> None:
    """The built-in levels, and one group more at asl-3."""
    asl_3 = (builtin_dir() / "levels" / "asl-3.yaml").read_text(encoding="utf-8")
    copied_levels(directory, asl_3=asl_3.replace("groups:\n", f"groups:\n{group}"))


def test_guards_are_read(tmp_path: Path) -> None:
    """Defaults are filled in, and paths are relative to the file."""
    lg3, own = load(write(tmp_path / "gateway.yaml", MODEL + GUARDS), {}, {}).guards
    assert (lg3.urls, lg3.block, lg3.seconds, lg3.window) == (("http://127.0.0.1:8001",), ("cbrn",), 2, 2048)
    assert lg3.key is not None
    assert (lg3.key.file, lg3.ca, own.folder) == (tmp_path / "key", tmp_path / "ca.pem", tmp_path / "weights")
    assert list(own.categories) == ["a", "b"]


@pytest.mark.parametrize(
    ("old", "new", "key"),
    [
        ("id: lg3", "id: LG-3", "guards[0].id"),
        ("kind: vllm", "kind: pigeon", "guards[0].kind"),
        ("http://127.0.0.1:8001/", "http://127.0.0.1:8001/v1", "guards[0].urls[0]"),
        ("family:", "famly:", "guards[0].famly"),
        ("key: {file: key}", "key: secret", "guards[0].key"),
        ("ca: ca.pem", "thresholds: {cbrn: 1.5}", "guards[0].thresholds.cbrn"),
        ("ca: ca.pem", "block: []", "guards[0].block"),
        ("ca: ca.pem", "window: 8", "guards[0].window"),
    ],
)
def test_faults_have_their_places(tmp_path: Path, old: str, new: str, key: str) -> None:
    """Each fault names its key."""
    file = write(tmp_path / "gateway.yaml", MODEL + GUARDS.replace(old, new))
    assert key in [fault.key for fault in check(file, {}, CONTROLS)]


def test_levels_name_guards(tmp_path: Path) -> None:
    """A level file may name the control of a guard that there is, as a duty besides the built-in ones, and no other."""
    levels(tmp_path / "levels")
    file = write(tmp_path / "gateway.yaml", f"levels: levels\n{MODEL}{GUARDS}")
    assert check(file, {}, CONTROLS) == []
    levels(tmp_path / "levels", GROUP.replace("guard_lg3", "guard_lg4"))
    (fault,) = check(file, {}, CONTROLS)
    assert ("guard_lg4" in fault.message, fault.suggestion) == (True, "guard_lg3")


def test_the_reference_speaks_of_mappings() -> None:
    """A reader sees what a mapping holds, and that it may be left out."""
    found = {key.name: (key.type, key.default) for key in keys()}
    assert found["guards[].categories"] == ("mapping of text to text", "none")
    assert found["guards[].thresholds"] == ("mapping of text to number", "none")
    assert found["guards[].family"] == ("text", "none")
