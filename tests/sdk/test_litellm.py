"""LiteLLM's client at each level: chat, streams, tools, structured answers, and what its user sees of a block."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from support.running import Running
from support.sdk.cases import Case, Seat
from support.sdk.litellm_calls import LITELLM_CASES, Caller, blocked, caller
from support.sdk.proof import prove

from gateway.demo.scripted import ScriptedUpstream

pytestmark = pytest.mark.xdist_group("sdk")


@pytest.fixture(scope="session")
def process() -> Iterator[Caller]:
    """LiteLLM, in its own environment."""
    with caller() as started:
        yield started


@pytest.fixture(scope="session")
def seat(level: int, gateways: Callable[[int], Running], upstream: ScriptedUpstream, process: Caller) -> Seat:
    """An application with LiteLLM's defaults."""
    running = gateways(level)
    return Seat(process, running.data, upstream, asked=running.asked)


def create(*_: Any) -> Any:
    """LiteLLM's cases have acts of their own."""
    raise AssertionError


@pytest.mark.parametrize("case", LITELLM_CASES, ids=lambda case: case.id)
def test_a_feature_of_litellm(case: Case, level: int, seat: Seat) -> None:
    """The feature works, or is refused or blocked, as docs/sdk.md says."""
    prove(case, level, seat, create, blocked)
