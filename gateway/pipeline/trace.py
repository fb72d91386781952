"""The facts of one exchange as they come to be known, and the rows and counts that they end in."""

from __future__ import annotations

import hmac
from collections.abc import Iterable
from dataclasses import dataclass, field

from gateway.exchange import Caller, Direction, Exchange
from gateway.ledger.base import Field
from gateway.metrics import Metrics, Result, word
from gateway.terms import Terms
from gateway.verdict import Verdict, allow

NOBODY = allow("none")


@dataclass(slots=True)
class Waits:
    """Where the time of an exchange went that was not the gateway's own work, in seconds."""

    upstream: float = 0.0
    controls: float = 0.0
    ledger: float = 0.0
    client: float = 0.0


@dataclass(slots=True)
class Trace:
    """One exchange. Written by the pipeline only; ends in one outcome row."""

    decision: str
    request: str
    dialect: str
    caller: Caller
    began: float
    exchange: Exchange | None = None
    terms: Terms | None = None
    input_digest: str = "none"
    result: Result = Result.FAILED
    verdict: Verdict = NOBODY
    direction: Direction | None = None
    verdicts: dict[tuple[str, str], Verdict] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)
    substitutes: set[str] = field(default_factory=set)
    opened: set[str] = field(default_factory=set)  # groups that passed without a judge
    status: int = 0
    finish: str = "none"
    scanned: int = 0
    released: int = 0
    upstream_bytes: int = 0
    first_text: float = 0.0
    first_byte: float = 0.0
    forwarded: float = 0.0
    waits: Waits = field(default_factory=Waits)

    @property
    def model(self) -> str:
        """The canonical name, or ``none`` before it is known."""
        return self.terms.model if self.terms else "none"

    @property
    def asl(self) -> str:
        """The deployment standard, or ``none``; a label value."""
        return str(self.terms.level.deployment) if self.terms else "none"

    def note(self, verdicts: Iterable[Verdict], direction: Direction) -> None:
        """Keep the most severe verdict of each control and direction."""
        for verdict in verdicts:
            key = (direction.value, verdict.control)
            kept = self.verdicts.get(key)
            if kept is None or verdict.severity > kept.severity:
                self.verdicts[key] = verdict

    def digest_input(self, body: bytes, key: bytes) -> None:
        """The keyed digest of the client's body; the ledger never holds its text."""
        self.input_digest = "hmac-sha256:" + hmac.digest(key, body, "sha256").hex()

    def controls(self, direction: Direction) -> str:
        """``control:verdict`` of one direction, for a row."""
        return ",".join(
            f"{control}:{word(verdict.outcome)}{'(shadow)' if verdict.shadow else ''}"
            for (where, control), verdict in self.verdicts.items()
            if where == direction.value
        )

    def intent_row(self) -> dict[str, Field]:
        """The row that precedes everything sent to the upstream."""
        return {**self._shared(), "controls": self.controls(Direction.INPUT)}

    def outcome_row(self, now: float) -> dict[str, Field]:
        """The row that every exchange ends in."""
        direction = self.direction
        return {
            **self._shared(),
            "category": self.verdict.category,
            "cause": self.verdict.cause.name.lower(),
            "control": self.verdict.control,
            "controls": self.controls(direction or Direction.OUTPUT),
            "detail": self.verdict.detail,
            "direction": direction.value if direction else "none",
            "duration_ms": int((now - self.began) * 1000),
            "failures": ",".join(self.failures),
            "finish": self.finish,
            "outcome": self.result.value,
            "reason": self.verdict.reason.value,
            "released": self.released,
            "scanned": self.scanned,
            "status": self.status,
            "substitutes": ",".join(sorted(self.substitutes)),
            "upstream_bytes": self.upstream_bytes,
        }

    def _shared(self) -> dict[str, Field]:
        terms = self.terms
        return {
            "asl": str(terms.level) if terms else "none",
            "caller": self.caller.id,
            "decision": self.decision,
            "dialect": self.dialect,
            "input_digest": self.input_digest,
            "model": self.model,
            "policy": ",".join(sorted(terms.snapshots)) if terms else "none",
            "request": self.request,
            "stream": int(self.exchange.stream) if self.exchange else 0,
        }

    def count(self, metrics: Metrics, now: float) -> None:
        """Count everything once, at the end."""
        metrics.count("requests_total", self.model, self.asl, self.dialect, self.result.value)
        for (direction, _), verdict in self.verdicts.items():
            metrics.decide(verdict, self.model, self.asl, direction)
        if self.exchange is None:
            return
        added = max(0.0, now - self.began - self.waits.upstream)
        streamed = "yes" if self.exchange.stream else "no"
        metrics.observe("added_latency_seconds", added, self.dialect, streamed)
        own = added - self.waits.controls - self.waits.ledger - self.waits.client
        metrics.observe("own_work_seconds", max(0.0, own), self.dialect)
        if self.first_byte:
            before = (self.forwarded or self.first_byte) - self.began
            held = self.first_byte - self.first_text if self.first_text else 0.0
            metrics.observe("first_byte_added_seconds", before + held, self.dialect)
