from __future__ import annotations

import pytest

from gateway.controls.circuit import Circuit
from gateway.verdict import Reason


def _opened() -> Circuit:
    circuit = Circuit()
    for _ in range(3):
        circuit.failed(Reason.CONTROL_TIMED_OUT, 100.0)
    return circuit


def test_two_failures_are_forgiven() -> None:
    """Fewer than three failures in a row, or a success in between, leave the control in use."""
    circuit = Circuit()
    for _ in range(5):
        circuit.failed(Reason.CONTROL_TIMED_OUT, 0.0)
        circuit.failed(Reason.CONTROL_UNAVAILABLE, 0.0)
        assert circuit.admits(0.0)
        circuit.succeeded()


def test_three_failures_pause_the_control_for_a_second() -> None:
    """After the third failure nobody asks for one second, then one probe does."""
    circuit = _opened()
    assert not circuit.admits(100.0)
    assert not circuit.admits(100.99)
    assert circuit.admits(101.0)
    assert not circuit.admits(101.0)


def test_pauses_double_to_thirty_seconds() -> None:
    """Probes that fail come after 1, 2, 4, 8, 16, 30, 30 seconds."""
    circuit, now, pauses = _opened(), 100.0, []
    for pause in (1, 2, 4, 8, 16, 30, 30):
        assert not circuit.admits(now + pause - 0.01)
        now += pause
        assert circuit.admits(now)
        circuit.failed(Reason.CONTROL_TIMED_OUT, now)
        pauses.append(pause)
    assert not circuit.admits(now + 29.99)


def test_a_probe_that_succeeds_ends_the_pause() -> None:
    """After a success the control is asked by everybody, and the next pause is short again."""
    circuit = _opened()
    assert circuit.admits(101.0)
    circuit.succeeded()
    assert circuit.admits(101.0)
    for _ in range(3):
        circuit.failed(Reason.CONTROL_TIMED_OUT, 200.0)
    assert not circuit.admits(200.9)
    assert circuit.admits(201.0)


def test_stragglers_do_not_lengthen_the_pause() -> None:
    """A hundred calls that were under way when the control hung count as one outage."""
    circuit = _opened()
    for _ in range(100):
        circuit.failed(Reason.CONTROL_TIMED_OUT, 100.5)
    assert circuit.admits(101.0)


@pytest.mark.parametrize("reason", [Reason.CONTROL_RAISED, Reason.CONTROL_NONSENSE])
def test_what_a_text_can_cause_does_not_count(reason: Reason) -> None:
    """A control that raises on one client's text stays in use for the others."""
    circuit = Circuit()
    for _ in range(10):
        circuit.failed(reason, 0.0)
    assert circuit.admits(0.0)
