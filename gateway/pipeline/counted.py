"""Refusals that are counted instead of written one by one, so that a flood of them cannot fill the disk.

What never became an exchange (bad framing, unknown routes) is always counted. An exchange that was refused before its model was
known (no JSON, no such model, no room) has an outcome row of its own while there are few of them in a second; beyond that it is
counted too. Nothing of such a request was judged or forwarded, so the count by reason is all that there is to record.
"""

from __future__ import annotations

from gateway.clock import Clock
from gateway.ledger.base import Kind, LedgerError, Sink
from gateway.metrics import Metrics

# With one row a second for each reason, these stay under 10 MB in ten minutes of flood (a test holds it).
OWN_ROWS = 6


class Refusals:
    """One ``refusals`` row per reason and second."""

    def __init__(self, ledger: Sink, metrics: Metrics, clock: Clock, own_rows: int = OWN_ROWS) -> None:
        """``own_rows``: early refusals that may have an outcome row of their own in one second, all clients together."""
        self._ledger, self._metrics, self._clock, self._own_rows = ledger, metrics, clock, own_rows
        self._counts: dict[tuple[str, int], int] = {}
        self._second, self._left = 0, own_rows

    def own_row(self) -> bool:
        """Whether one more early refusal may have a row of its own in this second."""
        now = int(self._clock.wall())
        if now != self._second:
            self._second, self._left = now, self._own_rows
        self._left -= 1
        return self._left >= 0

    def count(self, reason: str) -> None:
        """One more refusal; rows of earlier seconds are written."""
        key = (reason, int(self._clock.wall()))
        if key not in self._counts:
            self.flush(but=key[1])
        self._counts[key] = self._counts.get(key, 0) + 1
        self._metrics.count("refusals_total", reason)

    def flush(self, but: int | None = None) -> None:
        """Write the rows of all seconds but the given one, which still counts (a clock that was set back leaves later ones behind)."""
        for reason, second in sorted(key for key in self._counts if key[1] != but):
            row: dict[str, str | int] = {"reason": reason, "second": second, "count": self._counts[reason, second]}
            try:
                self._ledger.append(Kind.REFUSALS, row)
            except LedgerError:
                return  # kept, and tried again with the next second
            del self._counts[reason, second]
