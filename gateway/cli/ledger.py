"""``asl-gateway ledger``: verify, show, export, ship and prune; works while the gateway runs and when it is stopped."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from gateway.cli import upkeep
from gateway.cli.exits import Exit, document, fail, line, say
from gateway.cli.options import STATE, JsonOption, StateOption
from gateway.ledger import verify as ledger
from gateway.ledger.base import LedgerError
from gateway.ledger.rows import RowInvalid
from gateway.ledger.segments import SegmentDamaged, chains, first_of, segments
from gateway.settings.faults import ConfigInvalid
from gateway.state.base import StoreError
from gateway.state.sqlite import heads

app = typer.Typer(
    no_args_is_help=True, help="Verify, show, export, ship and prune the tamper-evident record of decisions."
)


@app.command(epilog="Example: asl-gateway ledger verify --state state")
def verify(state: StateOption = STATE, json: JsonOption = False) -> None:
    """Check every row of every chain, and that none is missing at the end."""
    root = _root(state)

    def attempt(known: upkeep.Heads) -> list[ledger.Chain]:
        with _progress(root, known) as progress:
            return ledger.verify(root, known, progress)

    found = upkeep.verified(lambda: _heads(state), attempt, lambda chains_: all(chain.ok for chain in chains_))
    ok, rows = all(chain.ok for chain in found), sum(chain.rows for chain in found)
    if json:
        document({"ok": ok, "rows": rows, "chains": [_shape(chain) for chain in found]})
    else:
        for chain in found:
            line(
                f"{chain.replica}: {chain.rows} rows from {chain.first}, head {chain.sequence} sha256:{chain.digest[:16]}… "
                f"{'ok' if chain.ok else 'BROKEN'}"
            )
            for fault in chain.faults:
                line(f"  {chain.replica}/{fault.file}:{fault.line}: {fault.message}")
    if not ok:
        raise typer.Exit(Exit.VERIFICATION_FAILED)


def _shape(chain: ledger.Chain) -> dict[str, object]:
    return {
        "replica": chain.replica,
        "rows": chain.rows,
        "first": chain.first,
        "sequence": chain.sequence,
        "head": f"sha256:{chain.digest}",
        "faults": [{"file": fault.file, "line": fault.line, "message": fault.message} for fault in chain.faults],
    }


@app.command(epilog="Example: asl-gateway ledger show d-1a20cf03e106ecc52e55d1830aa --json")
def show(
    decision: Annotated[str, typer.Argument(help="x-asl-decision-id of an answer.", metavar="DECISION_ID")],
    state: StateOption = STATE,
    json: JsonOption = False,
) -> None:
    """Show the rows of one decision, or the rows that cover it where it was recorded by count."""
    try:
        rows = ledger.show(_root(state), decision)
    except (RowInvalid, SegmentDamaged) as error:
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
    try:
        for data in ledger.export(_root(state)):
            line(data.decode("utf-8", "backslashreplace"))
    except SegmentDamaged as error:
        fail(Exit.VERIFICATION_FAILED, str(error), do="run `asl-gateway ledger verify`")


@app.command(epilog="Example: asl-gateway ledger ship --to /mnt/archive")
def ship(
    to: Annotated[Path, typer.Option("--to", help="Directory; copies go to DIR/<replica>/.", metavar="DIR")],
    state: StateOption = STATE,
    json: JsonOption = False,
) -> None:
    """Copy sealed segments elsewhere, verify the copies, and have that on record."""
    root = _root(state)
    with _failing():
        done = [upkeep.ship_chain(directory, state, to) for directory in chains(root)]
    _report(done, json=json)


@app.command(epilog="Example: asl-gateway ledger prune --dry-run")
def prune(
    state: StateOption = STATE,
    config: Annotated[
        Path | None, typer.Option("--config", help="Take retention from this configuration's levels.", metavar="FILE")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would go.")] = False,
    json: JsonOption = False,
) -> None:
    """Take away segments that are expired or shipped, each after a row that says so."""
    root = _root(state)
    try:
        kept = upkeep.retention_of(config)
    except ConfigInvalid as error:
        fail(Exit.CONFIG_INVALID, "the configuration is invalid:\n" + str(error))
    with _failing():
        done = [upkeep.prune_chain(directory, state, kept, dry_run=dry_run) for directory in chains(root)]
    _report(done, json=json)


@contextlib.contextmanager
def _failing() -> Iterator[None]:
    try:
        yield
    except (OSError, LedgerError, StoreError) as error:
        fail(Exit.FAILURE, str(error))


def _report(done: list[upkeep.Done], *, json: bool) -> None:
    """Exit 6 when a chain is broken: nothing of it was touched."""
    if json:
        document({"chains": [found.shape() for found in done]})
    else:
        for found in done:
            for text in found.lines():
                line(text)
    if any(found.state == "broken" for found in done):
        raise typer.Exit(Exit.VERIFICATION_FAILED)


def _root(state: Path) -> Path:
    root = state / "ledger"
    if not root.is_dir():
        say(f"asl-gateway: {state} holds no ledger\n  name the state directory with --state")
        raise typer.Exit(Exit.FAILURE)
    return root


def _heads(state: Path) -> upkeep.Heads:
    try:
        return heads(state / "gateway.db")
    except StoreError as error:
        fail(Exit.VERIFICATION_FAILED, f"the heads of the chains cannot be read: {error}")


@contextlib.contextmanager
def _progress(root: Path, known: upkeep.Heads) -> Iterator[ledger.Progress]:
    """A bar on a terminal's stderr; nothing anywhere else."""
    if not sys.stderr.isatty():
        yield lambda rows: None
        return
    files = {directory.name: segments(directory) for directory in chains(root)}
    total = sum(known.get(name, (0, ""))[0] + 1 - first_of(found[0]) for name, found in files.items() if found)
    columns = (TextColumn("verifying"), BarColumn(), MofNCompleteColumn(), TextColumn("rows"), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("rows", total=total)
        yield lambda rows: bar.advance(task, rows)
