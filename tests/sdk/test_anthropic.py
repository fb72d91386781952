"""The anthropic SDK at each level: every case of docs/sdk.md, with the real package, a real gateway and a scripted model server."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from typing import Any

import anthropic
import pytest
from support.running import Running
from support.sdk.anthropic_calls import BLOCKED_CASES, CALL_CASES, blocked
from support.sdk.anthropic_parameters import BETA, MESSAGES, PARAMETERS, ROUTES, TOOLS
from support.sdk.cases import HELLO, MODEL, Case, Seat
from support.sdk.proof import prove

from gateway.demo.scripted import ScriptedUpstream

pytestmark = pytest.mark.xdist_group("sdk")
CASES = (*CALL_CASES, *MESSAGES, *TOOLS, *PARAMETERS, *BETA, *ROUTES, *BLOCKED_CASES)
# Options of the SDK itself, which have cases of their own.
OPTIONS = {"self", "extra_headers", "extra_query", "extra_body"}


@pytest.fixture(scope="session")
def seat(level: int, gateways: Callable[[int], Running], upstream: ScriptedUpstream) -> Iterator[Seat]:
    """An application with the SDK's defaults, retries among them."""
    base = gateways(level).data
    attempts: list[str] = []
    transport = anthropic.DefaultHttpxClient(
        event_hooks={"request": [lambda request: attempts.append(request.url.path)]}
    )
    with anthropic.Anthropic(base_url=base, api_key="unused", timeout=60, http_client=transport) as sdk:
        yield Seat(sdk, base, upstream, attempts)


def create(seat: Seat, keywords: dict[str, Any]) -> Any:
    """One message, raw."""
    return seat.sdk.messages.with_raw_response.create(
        **{"model": MODEL, "max_tokens": 64, "messages": HELLO, **keywords}
    )


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_a_feature_of_the_sdk(case: Case, level: int, seat: Seat) -> None:
    """The feature works, works screened, is dropped by name, or is refused, as docs/sdk.md says."""
    prove(case, level, seat, create, blocked)


def test_no_parameter_is_missing() -> None:
    """Each parameter of the SDK's ``create`` stands in a case."""
    named = {name for case in CASES for name in (*case.keywords, *case.params)}
    assert inspect.signature(anthropic.resources.messages.Messages.create).parameters.keys() - OPTIONS <= named
