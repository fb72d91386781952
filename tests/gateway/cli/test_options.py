"""Options that several commands share."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from click.testing import Result
from support.running import Running
from typer.testing import CliRunner

from gateway.cli.main import app


@pytest.mark.parametrize("arguments", [("level", "show"), ("rules", "list"), ("ledger", "verify")])
def test_the_state_directory_is_an_option_and_an_environment_variable(
    asl: Callable[..., Result], shared: Running, arguments: tuple[str, ...]
) -> None:
    """Both ways of naming the state directory find the same gateway."""
    by_option = CliRunner().invoke(app, [*arguments, "--state", str(shared.state)])
    assert by_option.exit_code == asl(*arguments).exit_code == 0


@pytest.mark.parametrize("arguments", [("level", "raise", "--help"), ("rules", "add", "--help"), ("screen", "--help")])
def test_help_names_the_shared_options(asl: Callable[..., Result], arguments: tuple[str, ...]) -> None:
    """Every command that talks to a gateway says how it finds it."""
    done = asl(*arguments)
    assert done.exit_code == 0
    assert "--state" in done.stdout
    assert "--json" in done.stdout
