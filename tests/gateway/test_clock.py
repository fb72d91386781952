"""The two times of the machine, and those of tests."""

from __future__ import annotations

import time

from support.fake_clock import FakeClock

from gateway.clock import Clock, SystemClock


def test_monotonic_time_is_the_machines() -> None:
    """Deadlines are measured on the monotonic clock, whatever the wall says."""
    before = time.monotonic()
    assert before <= SystemClock().monotonic() <= time.monotonic()


def test_wall_time_is_the_epoch() -> None:
    """Records carry seconds since the epoch, UTC."""
    before = time.time()
    assert before <= SystemClock().wall() <= time.time()


def test_the_fake_clock_moves_only_when_told() -> None:
    """Tests advance both times together."""
    fake = FakeClock(wall=1000.0)
    clock: Clock = fake
    began = clock.monotonic()
    assert (clock.monotonic(), clock.wall()) == (began, 1000.0)
    fake.advance(2.5)
    assert (clock.monotonic(), clock.wall()) == (began + 2.5, 1002.5)
