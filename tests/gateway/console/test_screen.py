"""Screening for operators: the chain of the data plane, one model or a named one, and a row without the text."""

from __future__ import annotations

import pytest
from support.fake_clock import FakeClock
from support.memory_ledger import MemoryLedger
from support.policies import built_in, model

from gateway.console.problems import Problem
from gateway.console.screen import Screener, shown
from gateway.controls.catalogue import controls
from gateway.controls.chain import Chain
from gateway.controls.magic import MAGIC
from gateway.ledger.base import Kind, LedgerError
from gateway.policy.holder import SnapshotHolder
from gateway.policy.snapshot import Material, build
from gateway.state.base import Declared
from gateway.terms import Level
from gateway.verdict import Outcome, Reason, Verdict


def screener(ledger: MemoryLedger, *names: str) -> Screener:
    """A screener over these models, judging by rules alone."""
    clock = FakeClock()
    models = tuple(model(name, aliases=(f"{name}-alias",)) for name in names)
    declared = tuple(Declared(name, Level.both(3), "operator", 1) for name in names)
    snapshot = build(built_in(), Material(models, declared, (), (), 1, False))
    chain = Chain({control.id: control for control in controls(None)}, clock)
    return Screener(SnapshotHolder(snapshot), chain, ledger, clock, b"k" * 32)


async def test_the_only_model_needs_no_name() -> None:
    """With one model the text is judged at its level, and the verdicts of its controls are shown."""
    ledger = MemoryLedger()
    found = await screener(ledger, "one").screen("hello", None)
    assert (found["model"], found["asl"], found["verdict"]) == ("one", "asl-3", "allow")
    assert {verdict["control"] for verdict in found["verdicts"]} >= {"halt", "rules"}


async def test_an_alias_names_a_model_and_a_block_is_a_block() -> None:
    """A text that a control refuses has that control's reason."""
    found = await screener(MemoryLedger(), "one", "two").screen(f"x {MAGIC['rules']}", "two-alias")
    assert (found["model"], found["verdict"]) == ("two", "block")
    blocked = [verdict for verdict in found["verdicts"] if verdict["outcome"] == "block"]
    assert [(verdict["control"], verdict["reason"]) for verdict in blocked] == [("rules", "magic_string")]


async def test_a_model_is_named_where_there_are_several() -> None:
    """Without a name, and with one that nobody registered, nothing is judged."""
    several = screener(MemoryLedger(), "one", "two")
    with pytest.raises(Problem, match="name a model: one, two"):
        await several.screen("x", None)
    with pytest.raises(Problem, match='registered as "three"'):
        await several.screen("x", "three")


async def test_the_row_holds_a_keyed_digest_and_never_the_text() -> None:
    """The same text has the same digest, lone surrogates too; the text is not in the row."""
    ledger = MemoryLedger()
    one = screener(ledger, "one")
    for text in ("violet harbour \ud800", "violet harbour \ud800", "other"):
        await one.screen(text, None)
    rows = ledger.of(Kind.CHANGE)
    assert {row["act"] for row in rows} == {"screen"}
    digests = [row["input_digest"] for row in rows]
    assert digests[0] == digests[1] != digests[2]
    assert "violet" not in str(rows)


async def test_what_cannot_be_recorded_is_not_answered() -> None:
    """A verdict is told after its row is on disk."""
    ledger = MemoryLedger()
    ledger.broken = True
    with pytest.raises(LedgerError):
        await screener(ledger, "one").screen("x", None)


def test_a_verdict_is_shown_in_words() -> None:
    """Outcome and reason are slugs, the score is in thousandths."""
    verdict = Verdict(Outcome.BLOCK, "rules", Reason.MAGIC_STRING, detail="text", score=12, shadow=True)
    found = shown(verdict)
    assert (found["outcome"], found["reason"], found["score"]) == ("block", "magic_string", 12)
    assert (found["detail"], found["shadow"]) == ("text", True)
