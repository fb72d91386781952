"""The command itself: version, help, usage errors."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from click.testing import Result
from support.running import command

from gateway.cli import main

Asl = Callable[..., Result]


def test_version_is_one_line(asl: Asl) -> None:
    """Name, version, commit and Python."""
    done = asl("--version")
    assert done.exit_code == 0
    assert done.stdout.startswith("asl-gateway 0.")
    assert "(commit " in done.stdout


def test_version_as_json(asl: Asl) -> None:
    """One document with the build inside."""
    data = json.loads(asl("--version", "--json").stdout)
    assert set(data) == {"name", "version", "python", "build"}
    assert set(data["build"]) == {"commit", "dirty"}


def test_a_dirty_build_says_so(asl: Asl, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was not committed is not hidden."""
    info = {"name": "asl-gateway", "version": "1", "commit": "abc", "dirty": True, "python": "3"}
    monkeypatch.setattr(main, "build_info", lambda: info)
    assert asl("--version").stdout == "asl-gateway 1 (commit abc, dirty, Python 3)\n"


def test_help_lists_every_command(asl: Asl) -> None:
    """The commands of the contract are there."""
    out = asl("--help").stdout
    for name in ("serve", "check-config", "demo", "screen", "level", "rules", "ledger"):
        assert name in out


@pytest.mark.parametrize("arguments", [("fly",), ("level",), ("rules", "add"), ("serve", "--asl", "9")])
def test_usage_errors_have_their_code(asl: Asl, arguments: tuple[str, ...]) -> None:
    """Unknown commands and missing or malformed arguments end with 2."""
    assert asl(*arguments).exit_code == 2


def test_the_package_is_the_command() -> None:
    """``python -m gateway`` is ``asl-gateway``."""
    code, out, _ = command("--version")
    assert (code, out.split()[0]) == (0, "asl-gateway")
