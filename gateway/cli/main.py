"""The command ``asl-gateway``: one explicit list of commands."""

from __future__ import annotations

from typing import Annotated

import typer

from gateway.app.version import build_info
from gateway.cli import demo, ledger, level, rules
from gateway.cli.calibrate import calibrate
from gateway.cli.exits import document, line
from gateway.cli.screen import screen
from gateway.cli.serve import check_config, serve

app = typer.Typer(
    name="asl-gateway",
    help="A reverse proxy that applies the controls that a served model's AI Safety Level demands.",
    epilog="Start with `asl-gateway demo`. Exit codes: 0 ok, 1 failure, 2 usage, 3 config invalid, 4 permission, "
    "5 not converged, 6 verification failed.",
    no_args_is_help=True,
    invoke_without_command=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.command()(serve)
app.command("check-config")(check_config)
app.command(epilog="Example: asl-gateway demo --exit --json")(demo.demo)
app.command(epilog="Example: echo 'some text' | asl-gateway screen --model my-model")(screen)
app.command(epilog="Docs: docs/detection-evaluate.md")(calibrate)
app.add_typer(level.app, name="level")
app.add_typer(rules.app, name="rules")
app.add_typer(ledger.app, name="ledger")


@app.callback()
def main(
    version: Annotated[bool, typer.Option("--version", help="Version and build.")] = False,
    json: Annotated[bool, typer.Option("--json", help="With --version: as JSON.", hidden=True)] = False,
) -> None:
    """Handle options of the command itself."""
    if version:
        info = build_info()
        if json:
            build = {"commit": info["commit"], "dirty": info["dirty"]}
            document({"name": info["name"], "version": info["version"], "python": info["python"], "build": build})
        else:
            line(
                f"{info['name']} {info['version']} (commit {info['commit']}{', dirty' if info['dirty'] else ''}, Python {info['python']})"
            )
        raise typer.Exit


def run() -> None:
    """The console script."""
    app()
