"""What a replica may hold at once: memory reserved per exchange before its body is read, and the number of exchanges.

Reserving is arithmetic on the event loop: no lock, no wait. Beyond the limit the exchange is refused early with 503.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from gateway.errors import Overloaded, TooLarge
from gateway.exchange import Caller

# A parsed body lives beside its bytes, its leaves, their views and our serialisation: measured at 3 to 4 times the bytes.
BODY_FACTOR = 4
# An exchange without any text: tasks, readers and buffers (measured near 40 KiB), and up to 64 KiB that its client sent ahead.
BASE = 128 * 1024


@dataclass(slots=True)
class Limits:
    """The budget of one replica. ``reserved`` and ``exchanges`` are what is in use."""

    in_flight: int
    body: int
    streams: int
    reserved: int = 0
    exchanges: int = 0
    callers: dict[str, int] = field(default_factory=dict)

    def reserve(self, caller: Caller, declared: int | None) -> Reservation:
        """Room for one exchange whose body is declared to have so many bytes (None: unknown, grows as it is read).

        Raises TooLarge when the declared body is over the limit, Overloaded when the replica is full.
        """
        if declared is not None and declared > self.body:
            raise TooLarge(f"the body has {declared} bytes; the limit is {self.body}")
        if self.exchanges >= self.streams:
            raise Overloaded("the gateway serves as many exchanges as it may")
        reservation = Reservation(self, caller)
        reservation.grow(BASE + BODY_FACTOR * (declared or 0))
        self.exchanges += 1
        self.callers[caller.id] = self.callers.get(caller.id, 0) + 1
        return reservation


@dataclass(slots=True)
class Reservation:
    """The share of one exchange. ``release`` gives it back, once."""

    limits: Limits
    caller: Caller
    size: int = 0
    open: bool = True

    def grow(self, size: int) -> None:
        """Take more. Raises Overloaded when there is no more; what was taken stays. Raises RuntimeError after ``release``."""
        if not self.open:
            raise RuntimeError("the reservation was released; what it takes now would never be given back")
        if self.limits.reserved + size > self.limits.in_flight:
            raise Overloaded("the gateway's memory for exchanges is in use")
        self.limits.reserved += size
        self.size += size

    def release(self) -> None:
        """Give everything back."""
        if not self.open:
            return
        self.open = False
        self.limits.reserved -= self.size
        self.limits.exchanges -= 1
        left = self.limits.callers[self.caller.id] - 1
        if left:
            self.limits.callers[self.caller.id] = left
        else:
            del self.limits.callers[self.caller.id]
