"""The anthropic SDK at each level: every case of docs/sdk.md, with the real package, a real gateway and a scripted model server."""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Callable, Iterator
from typing import Any

import anthropic
import pytest
from support.running import Running
from support.sdk.anthropic_calls import BUSY_CASES, blocked
from support.sdk.cases import HELLO, MODEL, Case, Seat
from support.sdk.catalogue import ANTHROPIC
from support.sdk.proof import prove

from gateway.demo.scripted import ScriptedUpstream

pytestmark = pytest.mark.xdist_group("sdk")
CASES = tuple(case for case in ANTHROPIC if case not in BUSY_CASES)
# Options of the SDK itself, which have cases of their own.
OPTIONS = {"self", "extra_headers", "extra_query", "extra_body"}


@contextlib.contextmanager
def sitting(running: Running, upstream: ScriptedUpstream) -> Iterator[Seat]:
    """An application with the SDK's defaults, retries among them."""
    seat = Seat(None, running.data, upstream, [])

    def see(response: Any) -> None:
        if response.status_code == 503 and seat.refused is not None:
            seat.refused()

    assert seat.attempts is not None
    hooks = {"request": [lambda request: seat.attempts.append(request.url.path)], "response": [see]}
    transport = anthropic.DefaultHttpxClient(event_hooks=hooks)
    with anthropic.Anthropic(base_url=running.data, api_key="unused", timeout=60, http_client=transport) as seat.sdk:
        yield seat


@pytest.fixture(scope="session")
def seat(level: int, gateways: Callable[[int], Running], upstream: ScriptedUpstream) -> Iterator[Seat]:
    """In front of the gateway of a level."""
    with sitting(gateways(level), upstream) as found:
        yield found


def create(seat: Seat, keywords: dict[str, Any]) -> Any:
    """One message, raw."""
    return seat.sdk.messages.with_raw_response.create(
        **{"model": MODEL, "max_tokens": 64, "messages": HELLO, **keywords}
    )


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_a_feature_of_the_sdk(case: Case, level: int, seat: Seat) -> None:
    """The feature works, works screened, is dropped by name, or is refused, as docs/sdk.md says."""
    prove(case, level, seat, create, blocked)


@pytest.mark.parametrize("case", BUSY_CASES, ids=lambda case: case.id)
def test_a_full_gateway_is_asked_again(
    case: Case, level: int, crowded: Callable[[int], Running], upstream: ScriptedUpstream
) -> None:
    """The SDK waits as it is told and asks again, without the application's help."""
    with sitting(crowded(level), upstream) as found:
        prove(case, level, found, create, blocked)


def test_no_parameter_is_missing() -> None:
    """Each parameter of the SDK's ``create`` stands in a case."""
    named = {name for case in CASES for name in (*case.keywords, *case.params)}
    assert inspect.signature(anthropic.resources.messages.Messages.create).parameters.keys() - OPTIONS <= named
