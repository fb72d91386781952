"""``asl-gateway ledger``: while the gateway runs, when it is stopped, and when somebody edited the record."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result
from support.running import Running, until

from gateway.cli.exits import Exit
from gateway.ledger.sealing import compress
from gateway.state.sqlite import SqliteStore

Asl = Callable[..., Result]


@pytest.fixture
def copied(shared: Running, tmp_path: Path) -> Path:
    """A state directory like that of a stopped gateway, with a few rows."""
    for _ in range(3):
        assert shared.chat().status_code == 200
    until(lambda: covered(shared.state))
    state = tmp_path / "copied"
    shutil.copytree(shared.state, state)
    return state


def covered(state: Path) -> bool:
    """Whether the head has come to the last row, as it does a moment after the rows."""
    last = json.loads(chain(state).read_bytes().splitlines()[-1])
    with contextlib.closing(SqliteStore(state / "gateway.db")) as store:
        head = store.head(last["replica"])
    return head is not None and head.sequence == last["seq"]


def chain(state: Path) -> Path:
    """The first file of the first chain."""
    return min((state / "ledger").glob("*/*.jsonl"))


def test_verify_of_a_running_gateway(asl: Asl, shared: Running) -> None:
    """All chains verify while rows are written."""
    shared.chat()
    done = asl("ledger", "verify")
    assert done.exit_code == 0
    assert "r1: " in done.stdout
    assert done.stdout.rstrip().endswith("ok")


def test_verify_of_a_copy(asl: Asl, copied: Path) -> None:
    """A stopped gateway's chains verify, in JSON too."""
    data = json.loads(asl("ledger", "verify", "--state", str(copied), "--json").stdout)
    assert data["ok"] is True
    assert data["rows"] == data["chains"][0]["sequence"] + 1


def test_a_cut_row_is_found(asl: Asl, copied: Path) -> None:
    """A chain that is shorter than what was written ends with 6 and says that rows are missing."""
    rows = chain(copied).read_bytes().splitlines(keepends=True)
    chain(copied).write_bytes(b"".join(rows[:-2]))
    done = asl("ledger", "verify", "--state", str(copied))
    assert done.exit_code == Exit.VERIFICATION_FAILED
    assert "rows are missing" in done.stdout
    assert "BROKEN" in done.stdout


def test_an_edited_row_is_found_with_its_line(asl: Asl, copied: Path) -> None:
    """Any change of a row ends with 6, and the fault names file and line."""
    rows = chain(copied).read_bytes().splitlines(keepends=True)
    rows[1] = rows[1].replace(b'"r1"', b'"r2"', 1)
    chain(copied).write_bytes(b"".join(rows))
    done = asl("ledger", "verify", "--state", str(copied), "--json")
    assert done.exit_code == Exit.VERIFICATION_FAILED
    fault = json.loads(done.stdout)["chains"][0]["faults"][0]
    assert (fault["file"], fault["line"]) == (chain(copied).name, 2)


def test_without_heads_nothing_is_verified(asl: Asl, copied: Path) -> None:
    """A ledger whose database is gone cannot be shown to be complete: 6."""
    (copied / "gateway.db").unlink()
    done = asl("ledger", "verify", "--state", str(copied))
    assert done.exit_code == Exit.VERIFICATION_FAILED
    assert "heads of the chains" in done.stderr


def test_show_prints_the_rows_of_a_decision(asl: Asl, shared: Running) -> None:
    """An answer's decision id leads to its intent and outcome rows."""
    decision = shared.chat().headers["x-asl-decision-id"]

    def rows() -> list[str]:
        return [row["kind"] for row in json.loads(asl("ledger", "show", decision, "--json").stdout)["rows"]]

    until(lambda: len(rows()) == 2)  # the outcome follows the last byte of the answer
    assert rows() == ["intent", "outcome"]
    shown = asl("ledger", "show", decision)
    assert "outcome #" in shown.stdout
    assert "  outcome: served" in shown.stdout


def test_show_of_an_unknown_decision_fails(asl: Asl) -> None:
    """No row is a failure, not an empty answer."""
    assert asl("ledger", "show", "d-0").exit_code == Exit.FAILURE


def test_show_of_a_broken_row_fails_as_verification(asl: Asl, copied: Path, shared: Running) -> None:
    """A row that was edited is no record."""
    data = chain(copied).read_bytes()
    decision = next(json.loads(row)["decision"] for row in data.splitlines() if b'"kind":"outcome"' in row)
    chain(copied).write_bytes(data.replace(b'"outcome":"served"', b'"outcome":"failed"'))
    done = asl("ledger", "show", decision, "--state", str(copied))
    assert done.exit_code == Exit.VERIFICATION_FAILED
    assert "does not verify" in done.stderr


def test_export_prints_every_row(asl: Asl, copied: Path) -> None:
    """One JSON line a row, as stored."""
    out = asl("ledger", "export", "--state", str(copied)).stdout
    assert out == chain(copied).read_text()


@pytest.mark.parametrize("arguments", [("verify",), ("export",), ("show", "d-1")])
def test_a_directory_without_a_ledger_fails(asl: Asl, tmp_path: Path, arguments: tuple[str, ...]) -> None:
    """Nothing to verify is not a success."""
    done = asl("ledger", *arguments, "--state", str(tmp_path))
    assert done.exit_code == Exit.FAILURE
    assert "holds no ledger" in done.stderr


def test_long_work_shows_its_progress_on_a_terminal(copied: Path) -> None:
    """A bar on stderr where that is a terminal, and stdout is still one document."""
    control, terminal = pty.openpty()
    done = subprocess.run(
        [sys.executable, "-m", "gateway", "ledger", "verify", "--json", "--state", str(copied)],
        stdout=subprocess.PIPE,
        stderr=terminal,
        check=True,
        timeout=60,
        env={**os.environ, "TERM": "xterm"},
    )
    shown = os.read(control, 65_536).decode()
    os.close(control)
    os.close(terminal)
    assert "verifying" in shown
    assert json.loads(done.stdout)["ok"] is True


def test_a_damaged_archive_is_said_by_every_command(asl: Asl, copied: Path) -> None:
    """Verify, show and export end with 6 on a compressed segment that is cut."""
    path = compress(chain(copied))
    path.write_bytes(path.read_bytes()[:-9])
    for arguments in (("verify",), ("export",), ("show", "d-1")):
        done = asl("ledger", *arguments, "--state", str(copied))
        assert done.exit_code == Exit.VERIFICATION_FAILED
        assert "cannot be decompressed" in done.stdout + done.stderr
