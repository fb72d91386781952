"""``asl-gateway level``: show, raise, release. Lowering takes a signed record, which this version does not have yet."""

from __future__ import annotations

import getpass
from typing import Annotated, Any
from urllib.parse import quote

import typer

from gateway.cli.client import AdminClient
from gateway.cli.exits import Exit, document, fail, line, say
from gateway.cli.options import STATE, CaOption, JsonOption, OwnerOption, ReasonOption, StateOption

app = typer.Typer(no_args_is_help=True, help="Show and switch the level in force of a model.")

ModelArgument = Annotated[str, typer.Argument(help="Canonical name of the model.")]
LevelArgument = Annotated[str, typer.Argument(help="asl-1 to asl-5.", metavar="asl-N")]


@app.command(epilog="Example: asl-gateway level show demo-model --json")
def show(
    model: Annotated[str | None, typer.Argument(help="Canonical name; all models without it.")] = None,
    state: StateOption = STATE,
    ca: CaOption = None,
    json: JsonOption = False,
) -> None:
    """Show record, brakes and level in force."""
    data = AdminClient(state, ca).get("/models")
    models = [entry for entry in data["models"] if model in {None, entry["model"], *entry["aliases"]}]
    if not models:
        fail(Exit.FAILURE, f'no model is registered as "{model}"', do="`asl-gateway level show` lists them all")
    if json:
        document({**data, "models": models})
        return
    for entry in models:
        _print(entry)


def _print(entry: dict[str, Any]) -> None:
    line(f"{entry['model']}: {entry['in_force']} in force, {entry['standing']}")
    line(f"  record: {entry['record']['level']} ({entry['record']['status']}, {entry['record']['basis']})")
    for brake in entry["brakes"]:
        line(f"  brake:  {brake['level']} by {brake['owner']}: {brake['reason']}")
    if entry["unattested"]:
        line("  unattested: there is no trust root yet, so one person can release a brake")


@app.command("raise", epilog='Example: asl-gateway level raise demo-model asl-5 --reason "incident 12"')
def raise_(
    model: ModelArgument,
    level: LevelArgument,
    reason: ReasonOption,
    owner: OwnerOption = "",
    state: StateOption = STATE,
    ca: CaOption = None,
    json: JsonOption = False,
) -> None:
    """Open a brake: the level is raised at once, on every replica."""
    body = {"level": level, "owner": owner or getpass.getuser(), "reason": reason}
    _report(AdminClient(state, ca).post(f"/models/{quote(model, safe='')}/brakes", body), json)


@app.command(epilog='Example: asl-gateway level release demo-model --reason "all clear"')
def release(
    model: ModelArgument,
    reason: ReasonOption,
    owner: OwnerOption = "",
    state: StateOption = STATE,
    ca: CaOption = None,
    json: JsonOption = False,
) -> None:
    """Release all open brakes of a model: back to its record's level."""
    _report(
        AdminClient(state, ca).delete(
            f"/models/{quote(model, safe='')}/brakes", {"owner": owner or getpass.getuser(), "reason": reason}
        ),
        json,
    )


@app.command()
def lower(
    model: ModelArgument,
    level: LevelArgument,
    reason: ReasonOption = "",
    state: StateOption = STATE,
    ca: CaOption = None,
    json: JsonOption = False,
) -> None:
    """Not possible by command: going below the record takes new evidence, two people and 24 hours."""
    del reason, state, ca, json
    fail(
        Exit.PERMISSION,
        f"{model} cannot be lowered to {level} by a command",
        do="going below the record takes a new assignment record with new evidence, which this version cannot verify yet; "
        "`asl-gateway level release` takes back a brake",
    )


def _report(data: dict[str, Any], json: bool) -> None:
    if json:
        document(data)
    else:
        line(f"{data['model']}: {data['in_force']} in force (revision {data['revision']})")
        if data["unattested"]:
            say("  unattested: released by one person, since there is no trust root yet")
    if not data["converged"]:
        fail(
            Exit.NOT_CONVERGED,
            "not every replica has applied the change yet",
            do="look again with `asl-gateway level show`",
        )
