"""Readiness is a list of reasons."""

from __future__ import annotations

from gateway.app.readiness import Readiness


def test_reasons_are_those_that_hold_now() -> None:
    """Each question asks again, in the order given; none is readiness."""
    state = {"draining": False, "ledger_not_writable": True}
    readiness = Readiness({name: lambda name=name: state[name] for name in state})  # type: ignore[misc]  # bound per name
    assert readiness.reasons() == ["ledger_not_writable"]
    state["draining"] = True
    assert readiness.reasons() == ["draining", "ledger_not_writable"]
    state.update(draining=False, ledger_not_writable=False)
    assert readiness.reasons() == []
    assert Readiness().reasons() == []
