"""Who may be asked for a group, and how anybody is asked: under a deadline, behind a circuit, with every failure named."""

from __future__ import annotations

import asyncio
import types
from collections.abc import Awaitable, Callable, Generator, Mapping, Sequence
from functools import partial
from typing import Any, TypeVar, cast

from gateway.clock import Clock
from gateway.controls.base import Control
from gateway.controls.circuit import Circuit
from gateway.controls.faults import ControlFault, being_cancelled, reason_of
from gateway.controls.rulings import Failure, Tally
from gateway.exchange import Direction
from gateway.terms import Group, OnFailure, Terms
from gateway.verdict import Reason, Verdict, allow, failed

T = TypeVar("T")


class Roster:
    """The catalogue of controls with one circuit each; the only state that a chain keeps between exchanges."""

    def __init__(self, controls: Mapping[str, Control], clock: Clock) -> None:
        for name, control in controls.items():
            if control.id != name:
                raise ValueError(f"control {control.id!r} is listed as {name!r}")
        self._controls = dict(controls)
        self._clock = clock
        self._circuits: dict[str, Circuit] = {}
        self._plans: dict[Direction, tuple[Terms, tuple[list[Group], list[Group]]]] = {}

    def groups(self, terms: Terms, direction: Direction) -> tuple[list[Group], list[Group]]:
        """The groups of a direction, inline ones and others, each in a fixed order (a set has none)."""
        known = self._plans.get(direction)
        if known is not None and known[0] is terms:  # nearly always: exchanges under one policy share their terms
            return known[1]
        chosen = sorted(
            (group for group in terms.groups if group.direction is direction),
            key=lambda group: (group.name, group.members, group.on_failure, group.deadline_ms, group.standard),
        )
        inline = [group for group in chosen if self._is_inline(group)]
        plan = inline, [group for group in chosen if group not in inline]
        self._plans[direction] = (terms, plan)
        return plan

    def _is_inline(self, group: Group) -> bool:
        """Whether every member that exists answers in place."""
        return all(self._controls[member].inline for member in group.members if member in self._controls)

    def find(self, member: str, direction: Direction) -> Control:
        """The control of this name. Raises ControlFault (unavailable) when there is none for the direction."""
        control = self._controls.get(member)
        if control is None or direction not in control.directions:
            raise ControlFault(Reason.CONTROL_UNAVAILABLE, f"no control {member} for {direction}")
        return control

    def admits(self, member: str) -> bool:
        """Whether the member's circuit lets it be asked now."""
        circuit = self._circuits.get(member)
        return circuit is None or circuit.admits(self._clock.monotonic())

    async def attempt(
        self, tally: Tally, member: str, work: Callable[[], Awaitable[T]], seconds: float | None
    ) -> T | None:
        """What ``work`` returns, or None with the failure entered in ``tally``. Cancellation of our own task passes through.

        ``seconds``: the deadline; None awaits in place without one.
        """
        started = self.now()
        try:
            result = await (work() if seconds is None else _within(work, seconds))
        except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001  a control may raise anything: it fails closed here
            self.lost(tally, member, started, error)
            return None
        self.heard(tally, member, started)
        return result

    def now(self) -> float:
        """The monotonic time."""
        return self._clock.monotonic()

    def heard(self, tally: Tally, member: str, started: float) -> None:
        """``member``, asked at ``started``, gave its word."""
        tally.seconds.append((member, self._clock.monotonic() - started))
        if self._circuits and member in self._circuits:
            self._circuits[member].succeeded()

    def lost(self, tally: Tally, member: str, started: float, error: Exception | asyncio.CancelledError) -> None:
        """``member`` failed: enter it. Raises the error where it is the cancellation of our own task."""
        if isinstance(error, asyncio.CancelledError):
            if being_cancelled():
                raise error
            reason = Reason.CONTROL_UNAVAILABLE
        else:
            reason = reason_of(error)
        now = self._clock.monotonic()
        tally.seconds.append((member, now - started))
        self._circuits.setdefault(member, Circuit()).failed(reason, now)
        self.note(tally, member, reason)

    def note(self, tally: Tally, member: str, reason: Reason) -> None:
        """Enter a failure of ``member``."""
        tally.failures.append(Failure(member, reason, tally.name))

    def settle(self, tally: Tally, group: Group, deciders: Sequence[str]) -> Verdict:
        """Decide a group that nobody could judge, and return the failure that stands for it: its preferred member's."""
        reasons = {failure.control: failure.reason for failure in tally.failures}
        verdict = failed(deciders[0], reasons.get(deciders[0], Reason.CONTROL_UNAVAILABLE))
        tally.verdicts.append(verdict)
        tally.passed_open = group.on_failure is OnFailure.PASS
        tally.verdict = allow(verdict.control) if tally.passed_open else verdict
        return verdict


def split(group: Group, terms: Terms) -> tuple[list[str], list[str]]:
    """The members that decide, in order, and those in shadow, which give their word and never decide.

    A member in shadow cannot stand in for one that is not, healthy or not: its word has no effect. A group whose members
    are all in shadow is there to be watched, and counts as allow.
    """
    deciders = [member for member in group.members if member not in terms.shadow]
    return deciders, [member for member in group.members if member in terms.shadow]


async def _within(work: Callable[[], Awaitable[T]], seconds: float) -> T:
    """What ``work`` returns, within the deadline. What never waits is done before a deadline could ring, and is spared the timer."""
    deadline = asyncio.get_running_loop().time() + seconds
    steps = work().__await__()
    try:
        first = next(steps)
    except StopIteration as done:
        return cast("T", done.value)
    async with asyncio.timeout_at(deadline) as limit:
        result = cast("T", await _rest(steps, first))
    if limit.expired():  # it caught its cancellation and answered late
        raise TimeoutError
    return result


@types.coroutine
def _rest(steps: Generator[Any, Any, Any], waits: Any) -> Generator[Any, Any, Any]:
    """The rest of something awaited that has begun and now waits: ``yield from``, less its first step."""
    while True:
        try:
            sent = yield waits
        except GeneratorExit:
            steps.close()
            raise
        except BaseException as error:  # noqa: BLE001  it is handed on, not handled
            step = partial(steps.throw, error)
        else:
            step = partial(steps.send, sent)
        try:
            waits = step()
        except StopIteration as done:
            return done.value


async def together(works: Sequence[Callable[[], Awaitable[T]]]) -> list[T]:
    """All results in order; one alone is awaited in place. Cancels the others when this task is cancelled."""
    if len(works) <= 1:
        return [await work() for work in works]
    results: dict[int, T] = {}

    async def run(index: int, work: Callable[[], Awaitable[T]]) -> None:
        results[index] = await work()

    try:
        async with asyncio.TaskGroup() as tasks:
            for index, work in enumerate(works):
                tasks.create_task(run(index, work))
    except BaseExceptionGroup as raised:
        # Controls' exceptions never get here; what does ends the process, and must look the same as from one task.
        raise raised.exceptions[0] from None
    return [results[index] for index in range(len(works))]
