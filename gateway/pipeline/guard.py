"""What may interrupt an exchange from outside: the client leaves, the level is raised, the replica drains, a deadline passes.

The guard cancels the exchange's own task, as ``asyncio.timeout`` does, and remembers why. The first reason wins.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import TracebackType
from typing import Self

from gateway.errors import GatewayError, ModelNotFound, ServingHalted
from gateway.exchange import Caller, Direction, Exchange
from gateway.pipeline.ports import ClientGone
from gateway.policy.holder import SnapshotHolder
from gateway.policy.join import join
from gateway.policy.snapshot import Snapshot, resolve
from gateway.terms import Group, Standing, Terms

Interrupt = GatewayError | ClientGone


class Guard:
    """Interrupts the current task. Use as a context manager; what it raises inside is the reason itself."""

    def __init__(self) -> None:
        self.reason: Interrupt | None = None
        self._task: asyncio.Task[object] | None = None

    def fire(self, reason: Interrupt) -> None:
        """Interrupt now; later reasons are ignored, and so is one that comes after the guarded part is over."""
        if self._task is not None and self.reason is None:
            self.reason = reason
            self._task.cancel()

    def __enter__(self) -> Self:
        """Arm the guard for the current task."""
        self._task = asyncio.current_task()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Disarm. A cancellation that the guard caused becomes its reason; any other passes."""
        task, self._task = self._task, None
        if self.reason is None:
            return
        assert task is not None
        ours = task.uncancel() == 0  # nobody else wants the task to stop
        # A part that swallows its cancellation comes here without an exception; the reason holds all the same.
        if ours and (kind is None or issubclass(kind, asyncio.CancelledError)):
            raise self.reason from None

    def check(self) -> None:
        """Raise the reason, if there is one: for the points that must not be passed after an interruption that somebody swallowed."""
        if self.reason is not None:
            raise self.reason


def wanted(group: Group) -> tuple[str, Direction, tuple[str, ...]]:
    """What makes two groups the same duty for an exchange that has passed one of them."""
    return (group.name, group.direction, group.members)


class InForce:
    """The terms of one exchange: the join of what was in force when it began and all that came since (design: ``join``).

    A halt, a refused feature that the exchange uses, or a group that it has not passed interrupts it at once.
    Everything else that is stricter is picked up from ``terms`` at the next step.
    """

    def __init__(self, holder: SnapshotHolder, exchange: Exchange, caller: Caller, guard: Guard) -> None:
        """Resolve the model. Raises ModelNotFound."""
        self._exchange, self._caller, self._guard = exchange, caller, guard
        self._passed: dict[Direction, frozenset[tuple[str, Direction, tuple[str, ...]]]] = {}
        self.terms: Terms = resolve(holder.current, exchange.model, caller)
        self.close: Callable[[], None] = holder.subscribe(self._swapped)

    def check(self) -> None:
        """Raises what interrupted the exchange, where a control kept the interruption to itself."""
        self._guard.check()

    def passed(self, direction: Direction) -> None:
        """From now on the groups of this direction are behind the exchange."""
        self._passed[direction] = frozenset(
            wanted(group) for group in self.terms.groups if group.direction is direction
        )

    def _swapped(self, snapshot: Snapshot) -> None:
        try:
            newest = resolve(snapshot, self.terms.model, self._caller)
        except ModelNotFound:
            self._guard.fire(ServingHalted("the model is no longer registered"))
            return
        self.terms = join(self.terms, newest)
        if self.terms.standing is not Standing.SERVING:
            self._guard.fire(ServingHalted("serving was halted"))
        elif self._missed():
            self._guard.fire(ServingHalted("the level was raised to one whose controls this exchange has not passed"))

    def _missed(self) -> bool:
        if any(use.feature in self.terms.refused for use in self._exchange.uses):
            return bool(self._passed)
        acting = [group for group in self.terms.groups if not self.terms.shadow.issuperset(group.members)]
        duties = [wanted(group) for group in acting if group.direction in self._passed]
        return any(duty not in self._passed[duty[1]] for duty in duties)
