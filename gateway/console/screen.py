"""``screen``: what would happen to a text as a prompt, and why. Runs the same chain as the data plane; recorded."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from dataclasses import dataclass
from typing import Any

from gateway.clock import Clock
from gateway.console.problems import Problem
from gateway.controls.base import Context
from gateway.controls.chain import Chain
from gateway.exchange import Caller, Channel, Exchange, Leaf, Origin, Role
from gateway.ledger.base import Kind, Sink
from gateway.policy.holder import SnapshotHolder
from gateway.verdict import Verdict


@dataclass(frozen=True, slots=True)
class Screener:
    """Judges texts for operators."""

    holder: SnapshotHolder
    chain: Chain
    ledger: Sink
    clock: Clock
    digest_key: bytes

    async def screen(self, text: str, model: str | None) -> dict[str, Any]:
        """The verdict on one text, in the contract's shape. Raises Problem for an unknown model, LedgerError."""
        entry = self.holder.current.entries.get(self._name(model))
        if entry is None:
            raise Problem(404, "unknown_model", f'no model is registered as "{model}"')
        decision = f"d-{int(self.clock.wall() * 1000):011x}{secrets.token_hex(8)}"
        leaf = Leaf("text", text, Role.USER, Channel.CONTENT, Origin.USER, new=True)
        exchange = Exchange("none", entry.name, stream=False, choices=1, leaves=(leaf,), body={})
        context = Context(Caller("operator", "operator"), entry.terms, decision, int(self.clock.wall()))
        ruling = await self.chain.judge_input(exchange, context)
        digest = (
            "hmac-sha256:"
            + hmac.new(self.digest_key, text.encode("utf-8", "surrogatepass"), hashlib.sha256).hexdigest()
        )
        outcome = ruling.verdict.outcome.name.lower()
        row = {
            "act": "screen",
            "decision": decision,
            "model": entry.name,
            "asl": str(entry.terms.level),
            "verdict": outcome,
        }
        await self.ledger.append(Kind.CHANGE, {**row, "input_digest": digest}).durable()
        verdicts = [shown(verdict) for verdict in ruling.verdicts]
        return {
            "decision_id": decision,
            "model": entry.name,
            "asl": str(entry.terms.level),
            "verdict": outcome,
            "verdicts": verdicts,
        }

    def _name(self, model: str | None) -> str:
        names = self.holder.current.names
        if model is not None:
            return names.get(model, "")
        if len(self.holder.current.entries) != 1:
            raise Problem(422, "model_required", "name a model: " + ", ".join(sorted(self.holder.current.entries)))
        return next(iter(self.holder.current.entries))


def shown(verdict: Verdict) -> dict[str, Any]:
    """One control's word, for an operator."""
    return {
        "control": verdict.control,
        "outcome": verdict.outcome.name.lower(),
        "reason": verdict.reason.value,
        "category": verdict.category,
        "detail": verdict.detail,
        "score": verdict.score,
        "shadow": verdict.shadow,
    }
