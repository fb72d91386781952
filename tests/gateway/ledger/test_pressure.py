"""Space: the fraction, the steps with their hysteresis, and how long it lasts."""

from __future__ import annotations

import math
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from gateway.ledger.pressure import (
    RELIEF,
    THRESHOLDS,
    Growth,
    Pressure,
    Space,
    disk_space,
    fraction,
    ledger_bytes,
    room,
    step,
)

DAY = 86_400.0


def test_the_steps_of_design() -> None:
    """80, 90 and 97 %; down only two points below."""
    now = Pressure.NONE
    course = [
        (0.79, 0),
        (0.80, 1),
        (0.79, 1),
        (0.90, 2),
        (0.885, 2),
        (0.879, 1),
        (0.97, 3),
        (0.955, 3),
        (0.949, 2),
        (1.0, 3),
        (0.0, 0),
    ]
    for full, expected in course:
        now = step(now, full)
        assert now == expected, full


@given(st.sampled_from(Pressure), st.floats(0, 1))
def test_a_step_never_gives_too_little_and_settles(now: Pressure, full: float) -> None:
    """At or above a threshold its pressure is on; without any change of space nothing switches."""
    after = step(now, full)
    assert all(after >= level for level, least in THRESHOLDS.items() if full >= least)
    assert all(after < level for level, least in THRESHOLDS.items() if full < least - RELIEF)
    assert step(after, full) is after


def test_the_fraction_is_of_the_disk_or_of_what_is_allowed() -> None:
    """With a limit, what the disk has left counts when that is less."""
    assert fraction(Space(75, 25), 10, None) == 0.75
    assert fraction(Space(75, 25), 10, 20) == 0.5
    assert fraction(Space(75, 25), 10, 1000) == 10 / 35
    assert fraction(Space(0, 0), 0, None) == 0
    assert [room(Space(75, 25), 10, most) for most in (None, 20, 1000, 5)] == [25, 10, 25, 0]


def test_days_to_full_follow_the_growth() -> None:
    """Unknown and shrinking are infinite; a day of samples is kept."""
    growth = Growth()
    assert growth.days(0, 0, 100) == math.inf
    growth.add(0, 1000)
    growth.add(1, 9999)
    assert growth.days(599, 2000, 100) == math.inf
    assert growth.days(DAY / 2, 2000, 4000) == 2.0
    assert growth.days(DAY / 2, 1000, 4000) == math.inf
    for number in range(1, 1000):
        growth.add(number * DAY / 288, 1000 + number)
    assert growth.samples[0][0] == 711 * DAY / 288
    assert math.isclose(growth.days(1000 * DAY / 288, 2000, 288), 1.0)


def test_real_files_and_a_real_file_system(tmp_path: Path) -> None:
    """What df says, and the bytes of all chains."""
    space = disk_space(tmp_path)
    assert space.used > 0
    assert space.free > 0
    for replica, size in (("r1", 10), ("r2", 5)):
        (tmp_path / replica).mkdir()
        (tmp_path / replica / "x").write_bytes(b"x" * size)
    (tmp_path / "file").write_bytes(b"not a chain")
    assert ledger_bytes(tmp_path) == 15
