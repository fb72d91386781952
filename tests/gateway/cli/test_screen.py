"""``asl-gateway screen``: files, standard input, and what is printed."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from click.testing import Result

from gateway.cli.exits import Exit
from gateway.controls.magic import MAGIC

Asl = Callable[..., Result]


def test_a_file_is_judged(asl: Asl, tmp_path: Path) -> None:
    """A harmless file is allowed, at the model's level, and the decision has a name."""
    (tmp_path / "t.txt").write_text("Good morning.")
    done = asl("screen", str(tmp_path / "t.txt"))
    assert done.exit_code == 0
    assert done.stdout.startswith("allow for demo-model at asl-3 (d-")


def test_standard_input_is_judged_and_the_block_has_its_reason(asl: Asl) -> None:
    """A blocked text from stdin shows the control, the reason and where."""
    done = asl("screen", "--model", "demo", "-", given=f"Hello {MAGIC['rules']}")
    assert done.stdout.startswith("block for demo-model")
    assert "rules: block (magic_string" in done.stdout
    assert "[text]" in done.stdout


def test_json_shows_scores_and_shadows(asl: Asl) -> None:
    """The JSON form carries every control's word."""
    data = json.loads(asl("screen", "--json", given="Hello").stdout)
    assert {verdict["control"] for verdict in data["verdicts"]} >= {"halt", "rules"}


def test_the_screened_text_is_recorded_by_digest_only(asl: Asl) -> None:
    """The ledger keeps that a text was screened, and its keyed digest, never the text."""
    data = json.loads(asl("screen", "--json", given="violet harbour sentence").stdout)
    rows = json.loads(asl("ledger", "show", data["decision_id"], "--json").stdout)["rows"]
    assert [(row["kind"], row["act"]) for row in rows] == [("change", "screen")]
    assert rows[0]["input_digest"].startswith("hmac-sha256:")
    assert "violet" not in asl("ledger", "export").stdout


def test_what_is_not_text_is_refused(asl: Asl, tmp_path: Path) -> None:
    """Missing files and bytes that are not UTF-8 end with 1."""
    (tmp_path / "b").write_bytes(b"\xff\xfe\x00")
    for name in ("missing", "b"):
        done = asl("screen", str(tmp_path / name))
        assert done.exit_code == Exit.FAILURE
        assert "cannot be read as text" in done.stderr


def test_an_unknown_model_is_refused(asl: Asl) -> None:
    """A model that nobody registered ends with 1."""
    assert asl("screen", "--model", "nobody", given="x").exit_code == Exit.FAILURE
