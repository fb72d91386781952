"""``asl-gateway ledger``: verify, show and export; works while the gateway runs and when it is stopped."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gateway.cli.exits import Exit, document, fail, line, say
from gateway.cli.options import STATE, JsonOption, StateOption
from gateway.ledger import verify as ledger
from gateway.ledger.rows import RowInvalid
from gateway.state.base import StoreError
from gateway.state.sqlite import heads

app = typer.Typer(no_args_is_help=True, help="Verify, show and export the tamper-evident record of decisions.")


@app.command(epilog="Example: asl-gateway ledger verify --state state")
def verify(state: StateOption = STATE, json: JsonOption = False) -> None:
    """Check every row of every chain, and that none is missing at the end."""
    try:
        chains = ledger.verify(_root(state), heads(state / "gateway.db"))
    except StoreError as error:
        fail(Exit.VERIFICATION_FAILED, f"the heads of the chains cannot be read: {error}")
    ok, rows = all(chain.ok for chain in chains), sum(chain.rows for chain in chains)
    if json:
        found = [
            {
                "replica": chain.replica,
                "rows": chain.rows,
                "sequence": chain.sequence,
                "head": f"sha256:{chain.digest}",
                "faults": [
                    {"file": fault.file, "line": fault.line, "message": fault.message} for fault in chain.faults
                ],
            }
            for chain in chains
        ]
        document({"ok": ok, "rows": rows, "chains": found})
    else:
        for chain in chains:
            line(
                f"{chain.replica}: {chain.rows} rows, head {chain.sequence} sha256:{chain.digest[:16]}… {'ok' if chain.ok else 'BROKEN'}"
            )
            for fault in chain.faults:
                line(f"  {chain.replica}/{fault.file}:{fault.line}: {fault.message}")
    if not ok:
        raise typer.Exit(Exit.VERIFICATION_FAILED)


@app.command(epilog="Example: asl-gateway ledger show d-1a20cf03e106ecc52e55d1830aa --json")
def show(
    decision: Annotated[str, typer.Argument(help="x-asl-decision-id of an answer.", metavar="DECISION_ID")],
    state: StateOption = STATE,
    json: JsonOption = False,
) -> None:
    """Show the rows of one decision."""
    try:
        rows = ledger.show(_root(state), decision)
    except RowInvalid as error:
        fail(
            Exit.VERIFICATION_FAILED,
            f"a row of this decision does not verify: {error}",
            do="run `asl-gateway ledger verify`",
        )
    if not rows:
        fail(Exit.FAILURE, f"no row of decision {decision}")
    if json:
        document({"rows": rows})
        return
    for row in rows:
        line(f"{row['kind']} #{row['seq']} at {row['time_ms']}")
        for key, value in row.items():
            if key not in {"kind", "seq", "time_ms", "prev", "hash", "v", "boot"}:
                line(f"  {key}: {value}")


@app.command(epilog="Example: asl-gateway ledger export > ledger.jsonl")
def export(state: StateOption = STATE) -> None:
    """Print every row as JSON lines."""
    for data in ledger.export(_root(state)):
        line(data.decode("utf-8", "backslashreplace"))


def _root(state: Path) -> Path:
    root = state / "ledger"
    if not root.is_dir():
        say(f"asl-gateway: {state} holds no ledger\n  name the state directory with --state")
        raise typer.Exit(Exit.FAILURE)
    return root
