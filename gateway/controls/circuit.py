"""A control that hangs must not cost every exchange its deadline: after some failures it is left alone for a while.

Only missed deadlines and absence count. An exception or nonsense costs no time, and one client could cause it with its
own text, which must not change the controls that judge another client's.
"""

from __future__ import annotations

from typing import Final

from gateway.verdict import Reason

FAILURES_TO_OPEN: Final = 3
FIRST_PAUSE: Final = 1.0  # seconds
LONGEST_PAUSE: Final = 30.0  # seconds
COUNTED: Final = frozenset({Reason.CONTROL_TIMED_OUT, Reason.CONTROL_UNAVAILABLE})


class Circuit:
    """The recent history of one control: after three counted failures in a row, one probe per pause (1 s doubling to 30 s)."""

    def __init__(self) -> None:
        self._failures = 0
        self._pause = FIRST_PAUSE
        self._probe_at = 0.0

    def admits(self, now: float) -> bool:
        """Whether the control may be asked at this monotonic time. Admits one probe when a pause is over."""
        if self._failures < FAILURES_TO_OPEN:
            return True
        if now < self._probe_at:
            return False
        # The next pause starts with the probe, so that the others wait until it has reported.
        self._pause = min(self._pause * 2, LONGEST_PAUSE)
        self._probe_at = now + self._pause
        return True

    def succeeded(self) -> None:
        """The control judged."""
        self._failures = 0

    def failed(self, reason: Reason, now: float) -> None:
        """The control failed. Stragglers that fail while the circuit is open do not lengthen the pause."""
        if reason not in COUNTED:
            return
        self._failures += 1
        if self._failures == FAILURES_TO_OPEN:
            self._pause = FIRST_PAUSE
            self._probe_at = now + FIRST_PAUSE
