"""Proves one case at one level, through the real SDK and a real gateway."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from support.sdk.cases import CANARY, WORD, Case, Kind, Outcome, Seat, variants

# What a request to the model server may carry: none of it is the client's.
OURS = {
    "host",
    "content-type",
    "content-length",
    "accept",
    "accept-encoding",
    "x-request-id",
    "anthropic-version",
    "connection",
    "user-agent",
}
Create = Callable[[Seat, dict[str, Any]], Any]


def prove(case: Case, level: int, seat: Seat, create: Create, blocked: Callable[[Callable[[], Any]], None]) -> None:
    """``create`` makes the raw response of keywords; ``blocked`` checks that an act shows the SDK's form of a blocked prompt."""
    outcome = case.at[level - 1]
    seat.upstream.script(case.says())
    attempts = seat.attempts if seat.attempts is not None else []
    attempts.clear()
    before = seat.sent
    if outcome.kind is Kind.REFUSED:
        _refused(outcome, lambda: _ask(case, seat, create))
        assert seat.sent == before, "the model server was asked"
    else:
        _served(case, outcome, seat, _ask(case, seat, create), before)
    assert seat.attempts is None or len(attempts) == case.attempts, attempts
    if outcome.kind is Kind.SCREENED:
        _screened(case, seat, create, case.blocked or blocked)


def _ask(case: Case, seat: Seat, create: Create) -> Any:
    return case.ask(seat, WORD) if case.ask is not None else create(seat, dict(case.keywords))


def _refused(outcome: Outcome, act: Callable[[], Any]) -> None:
    with pytest.raises(Exception) as caught:
        act()
    error: Any = caught.value
    assert type(error).__name__ == outcome.error, error
    told = error.told if hasattr(error, "told") else error.response.json()["error"]
    assert (error.status_code, told["code"], told.get("param")) == (outcome.status, outcome.code, outcome.param)


def _served(case: Case, outcome: Outcome, seat: Seat, answer: Any, before: int) -> None:
    if case.ask is None or hasattr(answer, "headers"):
        named = answer.headers.get("x-asl-dropped", "")
        assert tuple(filter(None, named.split(","))) == outcome.dropped
        answer.parse()
    if case.ask is None and case.sent is None:
        body = last(seat)
        for name, value in case.keywords.items():
            assert body.get(name) == (None if name in outcome.dropped else value), name
    if case.sent is not None:
        assert seat.sent > before
        case.sent(last(seat))
    if outcome.kind is Kind.DROPPED:
        assert not set(outcome.dropped) & last(seat).keys()
    if outcome.kind is Kind.WITHOUT:
        request = seat.upstream.requests[-1]
        assert "?" not in request.path
        assert {name for name, _ in request.headers} <= OURS


def _screened(case: Case, seat: Seat, create: Create, blocked: Callable[[Callable[[], Any]], None]) -> None:
    before = seat.sent
    if case.ask is not None:
        blocked(lambda: case.ask(seat, CANARY))  # type: ignore[misc]
    else:
        found = list(variants(case.keywords))
        assert found, "a case of screening needs a word"
        for keywords in found:
            blocked(lambda keywords=keywords: create(seat, keywords))  # type: ignore[misc]
    assert seat.sent == before, "a canary reached the model server"


def last(seat: Seat) -> dict[str, Any]:
    """The body of the last request that the model server got."""
    found: dict[str, Any] = json.loads(seat.upstream.requests[-1].body)
    return found
