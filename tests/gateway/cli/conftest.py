"""The command in this process: quick, and with coverage. Tests of ``serve`` use processes."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from click.testing import Result
from support.running import Running
from typer.testing import CliRunner

from gateway.cli.main import app

Asl = Callable[..., Result]


@pytest.fixture
def asl(shared: Running) -> Asl:
    """``asl-gateway`` with these arguments, on the shared gateway's state directory."""
    runner = CliRunner(env={"ASL_GATEWAY_STATE": str(shared.state), "ASL_GATEWAY_OWNER": "tester"})
    return lambda *arguments, given=None: runner.invoke(app, list(arguments), input=given, catch_exceptions=False)


@pytest.fixture
def clean(shared: Running) -> Iterator[None]:
    """Whatever the test opened or added is taken back."""
    yield
    shared.api("DELETE", "/models/demo-model/brakes", content='{"owner":"tester","reason":"end of a test"}')
    for rule in shared.api("GET", "/rules").json()["rules"]:
        shared.api("DELETE", f"/rules/{rule['id']}")
