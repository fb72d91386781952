"""``asl-gateway rules``: rapid-response rules, added and removed while the gateway runs."""

from __future__ import annotations

from typing import Annotated, Any
from urllib.parse import quote

import typer

from gateway.cli.client import AdminClient
from gateway.cli.exits import Exit, document, fail, line
from gateway.cli.options import STATE, CaOption, JsonOption, ReasonOption, StateOption

app = typer.Typer(no_args_is_help=True, help="Add, list and remove rapid-response rules.")


@app.command(
    epilog='Example: asl-gateway rules add --id rr-1 --literal "amber kestrel protocol" --reason "reported jailbreak"'
)
def add(
    id: Annotated[str, typer.Option("--id", help="Stable id of the rule.")],  # noqa: A002  # the contract's own option name
    reason: ReasonOption,
    literal: Annotated[str | None, typer.Option(help="Text to match, without regard to case.")] = None,
    pattern: Annotated[
        str | None, typer.Option(help="RE2 pattern; needs a longest span where it judges answers.")
    ] = None,
    category: Annotated[str, typer.Option(help="Stable category id.")] = "cbrn",
    direction: Annotated[str, typer.Option(help="input, output or both.")] = "both",
    expires: Annotated[str | None, typer.Option(help="YYYY-MM-DD, UTC; never without it.")] = None,
    state: StateOption = STATE,
    ca: CaOption = None,
    json: JsonOption = False,
) -> None:
    """Add a rule; it is in force at once, and what it would hit in ordinary text is printed."""
    if (literal is None) == (pattern is None):
        fail(Exit.USAGE, "give exactly one of --literal and --pattern")
    match = {"literal": literal} if literal is not None else {"pattern": pattern}
    rule: dict[str, Any] = {
        "id": id,
        "category": category,
        "direction": direction,
        "match": match,
        "action": "block",
        "reason": reason,
    }
    if expires is not None:
        rule["expires"] = expires
    data = AdminClient(state, ca).post("/rules", rule)
    if json:
        document(data)
        return
    line(f"{id}: in force (revision {data['revision']})")
    line(f"  expected hits on ordinary text: {data['expected_hits']} of {data['of']} samples")


@app.command("list")
def list_(state: StateOption = STATE, ca: CaOption = None, json: JsonOption = False) -> None:
    """List all rules, from files and added ones."""
    data = AdminClient(state, ca).get("/rules")
    if json:
        document(data)
        return
    for rule in data["rules"]:
        ((kind, text),) = rule["match"].items()
        line(
            f"{rule['id']}  {rule['direction']}  {rule['category']}  {kind}: {text}  ({rule['source']}; {rule['reason']})"
        )
    if not data["rules"]:
        line("no rules")


@app.command(epilog="Example: asl-gateway rules remove rr-1")
def remove(
    rule: Annotated[str, typer.Argument(help="Id of an added rule.", metavar="ID")],
    state: StateOption = STATE,
    ca: CaOption = None,
    json: JsonOption = False,
) -> None:
    """Remove an added rule; rules from files are removed in their file."""
    data = AdminClient(state, ca).delete(f"/rules/{quote(rule, safe='')}")
    if json:
        document(data)
    else:
        line(f"{rule}: removed (revision {data['revision']})")
