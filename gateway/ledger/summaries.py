"""The ledger under pressure: a sink over the one on disk that records exchanges of low levels by count when space runs out.

Rule 5 stays: nothing is forwarded or answered before a row that says so is written. Under pressure the first exchange of its second writes
a ``cover`` row (all exchanges of this model under this policy whose decision ids lie in this second), later ones wait for that same
row, and ``summary`` rows tell the counts when the second is over. What a kill can take is the counts of the last second, never the
cover. An exchange that began with a row of its own ends with one.
"""

from __future__ import annotations

from collections.abc import Awaitable, Mapping
from dataclasses import dataclass

from gateway.clock import Clock
from gateway.ledger.base import Field, Kind, LedgerError, Receipt, Sink
from gateway.ledger.levels import strictest
from gateway.ledger.pressure import Pressure
from gateway.ledger.reading import moment, second_of

HIGHEST_SUMMARISED = 2
# Covers of older seconds are forgotten; an exchange that was as slow as that writes another one.
REMEMBERED_SECONDS = 60

CoverKey = tuple[str, ...]
CountKey = tuple[str, str, str, str, int]
SUMS = ("scanned", "released", "upstream_bytes")


class Counted:
    """The receipt of what an earlier row covers."""

    async def written(self) -> None:
        """It is."""

    async def durable(self) -> None:
        """It is."""


class Cover:
    """The receipt of a cover row, shared by all that it covers; once it failed it covers nothing more."""

    def __init__(self, when: int, row: Receipt) -> None:
        self.when = when
        self.failed = False
        self._row = row

    async def written(self) -> None:
        """Handed to the operating system."""
        await self._wait(self._row.written())

    async def durable(self) -> None:
        """On disk."""
        await self._wait(self._row.durable())

    async def _wait(self, waiting: Awaitable[None]) -> None:
        try:
            await waiting
        except LedgerError:
            self.failed = True
            raise


@dataclass(slots=True)
class Tally:
    """Counts of one summary row."""

    count: int = 0
    scanned: int = 0
    released: int = 0
    upstream_bytes: int = 0

    def add(self, fields: Mapping[str, Field]) -> None:
        """One more exchange."""
        self.count += 1
        self.scanned += int(fields.get("scanned", 0))
        self.released += int(fields.get("released", 0))
        self.upstream_bytes += int(fields.get("upstream_bytes", 0))


class Summarising:
    """A sink over another. ``pressure`` is set by whoever watches the disk; used from the event loop only."""

    def __init__(self, inner: Sink, clock: Clock) -> None:
        self.inner = inner
        self.pressure = Pressure.NONE
        self._clock = clock
        self._own: set[str] = set()  # decisions in flight with an intent row of their own
        self._covered: set[str] = set()  # decisions in flight whose intent a cover row stands for
        self._covers: dict[CoverKey, Cover] = {}
        self._tallies: dict[CountKey, Tally] = {}

    @property
    def writable(self) -> bool:
        """As the sink below."""
        return self.inner.writable

    @property
    def accepting(self) -> bool:
        """False from 97 % on: new exchanges are refused, so that what is in flight and what people do can still be recorded."""
        return self.pressure < Pressure.REFUSE

    def append(self, kind: Kind, fields: Mapping[str, Field]) -> Receipt:
        """Queue a row, or have it covered and counted. Raises as the sink below."""
        if kind is Kind.INTENT:
            return self._intent(fields)
        if kind is Kind.OUTCOME:
            return self._outcome(fields)
        return self.inner.append(kind, fields)

    async def close(self) -> None:
        """Tell all counts, then close the sink below."""
        self.flush()
        await self.inner.close()

    def flush(self, before: int | None = None) -> None:
        """Write the summary rows of all seconds before the given one; of all without it."""
        for key in sorted(key for key in self._tallies if before is None or key[-1] < before):
            of, model, asl, outcome, second = key
            tally = self._tallies[key]
            row: dict[str, Field] = {"of": of, "model": model, "asl": asl, "second": second, "count": tally.count}
            if of == "outcome":
                row |= {"outcome": outcome, **{name: getattr(tally, name) for name in SUMS}}
            try:
                self.inner.append(Kind.SUMMARY, row)
            except LedgerError:
                return  # kept, and tried again with the next second
            del self._tallies[key]
        if before is not None and self._covers:
            oldest = (before - REMEMBERED_SECONDS) * 1000
            self._covers = {key: cover for key, cover in self._covers.items() if cover.when >= oldest}

    def _intent(self, fields: Mapping[str, Field]) -> Receipt:
        decision = str(fields.get("decision", ""))
        if not self._summarised(fields):
            self._own.add(decision)
            return self.inner.append(Kind.INTENT, fields)
        receipt = self._cover("intent", fields, ("controls", "caller"))
        self._covered.add(decision)
        self._tally("intent", fields, "")
        return receipt

    def _outcome(self, fields: Mapping[str, Field]) -> Receipt:
        decision, outcome = str(fields.get("decision", "")), str(fields.get("outcome", ""))
        own, covered = decision in self._own, decision in self._covered
        self._own.discard(decision)
        self._covered.discard(decision)
        if own or not (covered or self._summarised(fields)):
            return self.inner.append(Kind.OUTCOME, fields)
        # What was served has its intent's cover; whatever else is told to the client has one that says so.
        receipt = (
            Counted() if covered and outcome == "served" else self._cover("outcome", fields, ("outcome", "reason"))
        )
        self._tally("outcome", fields, outcome)
        return receipt

    def _summarised(self, fields: Mapping[str, Field]) -> bool:
        if self.pressure < Pressure.SUMMARY or moment(str(fields.get("decision", ""))) is None:
            return False
        return strictest(fields) <= HIGHEST_SUMMARISED

    def _cover(self, of: str, fields: Mapping[str, Field], telling: tuple[str, ...]) -> Receipt:
        """The row that covers this exchange, written by the first of its second and kind."""
        when = moment(str(fields["decision"]))
        assert when is not None
        row: dict[str, Field] = {name: fields.get(name, "none") for name in ("model", "asl", "policy", *telling)}
        row |= {"of": of, "from": second_of(when), "until": second_of(when + 1000)}
        key = tuple(str(value) for value in row.values())
        known = self._covers.get(key)
        if known is None or known.failed:
            known = self._covers[key] = Cover(when, self.inner.append(Kind.COVER, row))
        return known

    def _tally(self, of: str, fields: Mapping[str, Field], outcome: str) -> None:
        key = (of, str(fields.get("model")), str(fields.get("asl")), outcome, int(self._clock.wall()))
        self._tallies.setdefault(key, Tally()).add(fields)
