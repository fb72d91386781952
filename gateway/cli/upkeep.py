"""What ``ledger ship`` and ``ledger prune`` do with one chain, whether a gateway holds it or not."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, TypeVar

from gateway.clock import SystemClock
from gateway.ledger.holding import hold
from gateway.ledger.pruning import ASKED, prune
from gateway.ledger.retention import Candidate, Retention, candidates, longer, read
from gateway.ledger.segments import Slot, take
from gateway.ledger.shipping import Record, record_shipments, ship
from gateway.ledger.verify import Chain, Head, verify_chain
from gateway.settings.ladder import read_levels
from gateway.settings.load import builtin_dir, levels_of, load
from gateway.state.base import Head as StoredHead
from gateway.state.sqlite import SqliteStore, heads

T = TypeVar("T")
Heads = Mapping[str, Head]
State = Literal["done", "asked", "would", "broken"]


@dataclass(frozen=True, slots=True)
class Done:
    """What happened to one chain. ``asked``: its gateway holds it and does it within a minute."""

    replica: str
    state: State
    segments: tuple[Mapping[str, str | int], ...] = ()
    faults: tuple[str, ...] = field(default=())

    def shape(self) -> dict[str, object]:
        """For ``--json``."""
        return {
            "replica": self.replica,
            "state": self.state,
            "segments": [dict(found) for found in self.segments],
            "faults": list(self.faults),
        }

    def lines(self) -> list[str]:
        """For people."""
        said = {
            "done": f"{len(self.segments)} segments",
            "would": f"would take {len(self.segments)} segments",
            "asked": "held by a running gateway, which records and prunes within a minute",
            "broken": "BROKEN: nothing was touched; run `asl-gateway ledger verify`",
        }
        shown = [
            f"  {found['first']}-{found['last']} {found['reason']} {found['to']}".rstrip() for found in self.segments
        ]
        return [f"{self.replica}: {said[self.state]}", *shown, *(f"  {fault}" for fault in self.faults)]


def retention_of(config: Path | None) -> Retention:
    """Days that rows of each level are kept, by a configuration or the built-in levels. Raises ConfigInvalid."""
    levels = levels_of(load(config, os.environ, {})) if config else read_levels(builtin_dir() / "levels")
    return {level.asl: level.retention for level in levels}


def ship_chain(directory: Path, state: Path, to: Path) -> Done:
    """Copy the sealed segments of a chain; record it where no gateway does. Raises OSError, LedgerError, StoreError."""
    chain = _verified(directory, state)
    if not chain.ok:
        return _broken(chain)
    spans = chain.spans[:-1]
    made = {path.name.partition(".")[0]: path for path in ship(directory, spans, to)}
    copies = [Candidate(span, "shipped", str(made[name])) for span in spans if (name := f"{span.first:020d}") in made]
    slot = take(directory)
    if slot is not None:
        _hold(slot, state, lambda record: record_shipments(directory, record))
    return Done(directory.name, "asked" if slot is None else "done", _shown(copies))


def prune_chain(directory: Path, state: Path, kept: Retention, *, dry_run: bool) -> Done:
    """Prune a chain, or ask its gateway to, or only say what would go. Raises OSError, LedgerError, StoreError.

    The longer of ``kept`` and what the chain's newest start row says counts: a command without the gateway's configuration prunes no more.
    """
    slot = None if dry_run else take(directory)
    if slot is None and not dry_run:
        (directory / ASKED).touch(mode=0o600)
        return Done(directory.name, "asked")
    try:
        chain = _verified(directory, state)
        chosen = _chosen(directory, chain, kept)
    except BaseException:
        if slot is not None:
            slot.release()
        raise
    if slot is None:
        return Done(directory.name, "would", _shown(chosen)) if chain.ok else _broken(chain)
    if not chain.ok or not chosen:
        slot.release()
        return Done(directory.name, "done") if chain.ok else _broken(chain)
    _hold(slot, state, lambda record: prune(directory, chosen, record))
    return Done(directory.name, "done", _shown(chosen))


def _verified(directory: Path, state: Path) -> Chain:
    """One chain, against its head as it is now. Raises StoreError."""
    return verified(
        lambda: heads(state / "gateway.db"),
        lambda known: verify_chain(directory, known.get(directory.name)),
        lambda chain: chain.ok,
    )


def verified(known: Callable[[], Heads], verify: Callable[[Heads], T], ok: Callable[[T], bool]) -> T:
    """Verify; a second time where that failed and heads have moved: a chain may be pruned between the look at its head and at its rows."""
    before = known()
    found = verify(before)
    if not ok(found) and (now := known()) != before:
        found = verify(now)
    return found


def _chosen(directory: Path, chain: Chain, kept: Retention) -> list[Candidate]:
    if chain.retention:
        kept = longer(kept, read(chain.retention))
    return candidates(chain, directory, kept, int(SystemClock().wall() * 1000), shipped=True)


def _hold(slot: Slot, state: Path, work: Callable[[Record], T]) -> T:
    store = SqliteStore(state / "gateway.db")
    try:
        head = store.head(slot.replica)
        known = (head.sequence, head.digest) if head else None
        return hold(slot, known, SystemClock(), lambda *row: store.set_head(StoredHead(*row)), work)
    finally:
        store.close()


def _shown(chosen: Iterable[Candidate]) -> tuple[Mapping[str, str | int], ...]:
    return tuple(
        {"first": found.span.first, "last": found.span.last, "reason": found.reason, "to": found.to} for found in chosen
    )


def _broken(chain: Chain) -> Done:
    faults = tuple(f"{fault.file}:{fault.line}: {fault.message}" for fault in chain.faults)
    return Done(chain.replica, "broken", faults=faults)
