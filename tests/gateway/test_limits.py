"""Reservations: what is in use is what was taken and not given back, whatever fails in between."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import Overloaded, TooLarge
from gateway.exchange import Caller
from gateway.limits import BASE, BODY_FACTOR, Limits, Reservation

ME, OTHER = Caller(), Caller("c-2", "known")


def limits(*, in_flight: int = 100 * BASE, body: int = 1000, streams: int = 10) -> Limits:
    """An empty budget."""
    return Limits(in_flight, body, streams)


def test_a_reservation_counts_the_body_and_what_lives_beside_it() -> None:
    """The declared body counts several times, since its parsed form and views live beside it."""
    budget = limits()
    reservation = budget.reserve(ME, 1000)
    assert budget.reserved == reservation.size == BASE + BODY_FACTOR * 1000
    assert (budget.exchanges, budget.callers) == (1, {ME.id: 1})


def test_a_body_of_unknown_size_takes_only_the_base() -> None:
    """Where the size is not declared, room is taken as the body comes."""
    budget = limits()
    reservation = budget.reserve(ME, None)
    assert budget.reserved == BASE
    reservation.grow(500)
    assert budget.reserved == BASE + 500


def test_a_declared_body_over_the_limit_is_too_large() -> None:
    """413 names the limit and leaves the budget as it was; a body of exactly the limit passes."""
    budget = limits()
    with pytest.raises(TooLarge, match="1001 bytes; the limit is 1000"):
        budget.reserve(ME, 1001)
    assert (budget.reserved, budget.exchanges, budget.callers) == (0, 0, {})
    budget.reserve(ME, 1000)


def test_as_many_exchanges_as_streams() -> None:
    """One exchange more than the replica may serve is refused, until one ends."""
    budget = limits(streams=2)
    first = budget.reserve(ME, 0)
    budget.reserve(ME, 0)
    with pytest.raises(Overloaded):
        budget.reserve(ME, 0)
    assert budget.exchanges == 2
    first.release()
    budget.reserve(ME, 0)


def test_memory_that_is_in_use_is_refused() -> None:
    """Beyond the memory for exchanges nothing is reserved, and the refused exchange leaves no trace."""
    budget = limits(in_flight=2 * BASE)
    budget.reserve(ME, 0)
    with pytest.raises(Overloaded):
        budget.reserve(OTHER, 1)
    assert (budget.reserved, budget.exchanges, budget.callers) == (BASE, 1, {ME.id: 1})
    budget.reserve(OTHER, 0)
    assert budget.reserved == budget.in_flight


def test_growing_over_the_limit_keeps_what_was_taken() -> None:
    """A refused growth takes nothing; what was taken before stays until released."""
    budget = limits(in_flight=BASE + 10)
    reservation = budget.reserve(ME, 0)
    reservation.grow(10)
    with pytest.raises(Overloaded):
        reservation.grow(1)
    assert budget.reserved == BASE + 10
    reservation.release()
    assert budget.reserved == 0


def test_a_released_reservation_cannot_grow() -> None:
    """What it took then would never be given back, so that is a fault of ours."""
    budget = limits()
    reservation = budget.reserve(ME, 0)
    reservation.release()
    with pytest.raises(RuntimeError):
        reservation.grow(1)
    assert budget.reserved == 0


def test_releasing_twice_gives_back_once() -> None:
    """The second release does nothing; other exchanges of the same caller stay counted."""
    budget = limits()
    first, second = budget.reserve(ME, 10), budget.reserve(ME, 20)
    first.release()
    first.release()
    assert (budget.reserved, budget.exchanges, budget.callers) == (second.size, 1, {ME.id: 1})


def test_callers_are_counted_apart_and_forgotten() -> None:
    """Exchanges count under their caller; a caller without any leaves nothing behind."""
    budget = limits()
    mine, other = budget.reserve(ME, 0), budget.reserve(OTHER, 0)
    assert budget.callers == {ME.id: 1, OTHER.id: 1}
    other.release()
    assert budget.callers == {ME.id: 1}
    mine.release()
    assert budget.callers == {}


STEPS = st.lists(st.tuples(st.sampled_from(["reserve", "grow", "release"]), st.integers(0, 5), st.integers(0, 300_000)))


@given(STEPS)
def test_the_books_always_balance(steps: list[tuple[str, int, int]]) -> None:
    """After any steps, reserved is the sum of open reservations, never over the limit; after releasing all, everything is zero."""
    budget = limits(in_flight=10 * BASE, body=200_000, streams=4)
    taken: list[Reservation] = []
    for step, place, size in steps:
        try:
            if step == "reserve":
                taken.append(budget.reserve(Caller(str(place)), size if place else None))
            elif taken and step == "grow" and taken[place % len(taken)].open:
                taken[place % len(taken)].grow(size)
            elif taken and step == "release":
                taken[place % len(taken)].release()
        except (Overloaded, TooLarge):
            pass
        live = [reservation for reservation in taken if reservation.open]
        assert budget.reserved == sum(reservation.size for reservation in live) <= budget.in_flight
        assert budget.exchanges == len(live) == sum(budget.callers.values()) <= budget.streams
    for reservation in taken:
        reservation.release()
    assert (budget.reserved, budget.exchanges, budget.callers) == (0, 0, {})
