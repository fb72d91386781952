"""LangChain at each level: chat, streams, tools, structured answers, and what its user sees of a block."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import langchain_anthropic
import langchain_openai
import pytest
from support.loops import looping
from support.running import Running
from support.sdk.cases import MODEL, Case, Seat
from support.sdk.langchain_calls import LANGCHAIN_CASES, blocked
from support.sdk.proof import prove

from gateway.demo.scripted import ScriptedUpstream

pytestmark = pytest.mark.xdist_group("sdk")


@pytest.fixture(scope="session")
def seat(level: int, gateways: Callable[[int], Running], upstream: ScriptedUpstream) -> Iterator[Seat]:
    """An application with LangChain's defaults, retries among them."""
    running = gateways(level)

    def gpt(**more: Any) -> Any:
        return langchain_openai.ChatOpenAI(
            model=MODEL, base_url=running.data + "/v1", api_key="unused", timeout=60, **more
        )

    chat = gpt()
    claude = langchain_anthropic.ChatAnthropic(model_name=MODEL, base_url=running.data, api_key="unused", timeout=60)
    with looping() as loop:
        models = {"openai": chat, "anthropic": claude, "make": gpt, "loop": loop}
        yield Seat(models, running.data, upstream, asked=running.asked)
        for client in (chat.root_async_client, claude._async_client):  # LangChain leaves them open
            loop.run(client.close())
    for client in (chat.root_client, claude._client):
        client.close()


def create(*_: Any) -> Any:
    """LangChain's cases have acts of their own."""
    raise AssertionError


@pytest.mark.parametrize("case", LANGCHAIN_CASES, ids=lambda case: case.id)
def test_a_feature_of_langchain(case: Case, level: int, seat: Seat, monkeypatch: pytest.MonkeyPatch) -> None:
    """The feature works, or is refused or blocked, as docs/sdk.md says."""
    for name in ("LANGCHAIN_TRACING_V2", "LANGSMITH_TRACING"):
        monkeypatch.delenv(name, raising=False)
    prove(case, level, seat, create, blocked)
