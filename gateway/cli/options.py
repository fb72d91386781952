"""Options that several commands share, spelled once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

StateOption = Annotated[
    Path,
    typer.Option(
        "--state", envvar="ASL_GATEWAY_STATE", help="State directory of the running gateway.", show_default="state"
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")]
ReasonOption = Annotated[str, typer.Option("--reason", help="Why; recorded in the ledger.")]
OwnerOption = Annotated[
    str, typer.Option("--owner", envvar="ASL_GATEWAY_OWNER", help="Who acts; recorded in the ledger.")
]

STATE = Path("state")
