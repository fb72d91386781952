"""The tour checks what came back over the wire, and a step that did not show what it promises is not ok."""

from __future__ import annotations

from collections.abc import Callable

import httpx
import pytest
from support.running import Running

from gateway.demo.tour import Step, Tour

STEPS = ["benign_streamed", "prompt_blocked", "answer_blocked", "raised", "halted", "released", "benign_again"]


def tour(running: Running, said: list[str] | None = None) -> Tour:
    """A tour of a running gateway."""
    return Tour(running.data, running.admin, running.token, (said if said is not None else []).append)


async def test_every_step_is_ok_on_a_gateway_that_keeps_its_promises(shared: Running) -> None:
    """All seven steps in order, the streamed text told piece by piece, and the level back where it was.

    Magic strings of the screens need their controls, so the two block steps are those of a gateway with classifiers: here they
    may only fail, never pass falsely.
    """
    said: list[str] = []
    guide = tour(shared, said)
    steps = {step.step: step async for step in guide.steps()}
    await guide.close()
    assert list(steps) == STEPS
    for name in ("benign_streamed", "raised", "halted", "released", "benign_again"):
        assert steps[name].ok, steps[name]
    assert steps["benign_streamed"].shown
    assert steps["benign_streamed"].shown in "".join(said)
    assert steps["halted"].shown.startswith("asl_serving_halted: ")
    for name, ending in (("prompt_blocked", 400), ("answer_blocked", 200)):
        assert steps[name].ok == (
            steps[name].status == ending and steps[name].finish_reason in {"none", "content_filter"}
        )
    assert shared.api("GET", "/models/demo-model").json()["in_force"] == "asl-3"


Answer = Callable[[httpx.Request], httpx.Response]


async def steps_with(answer: Answer) -> dict[str, Step]:
    """The steps when both planes answer like this."""
    guide = Tour("http://data.test", "http://admin.test", "t", lambda _: None)
    await guide.close()
    transport = httpx.MockTransport(answer)
    guide._data = httpx.AsyncClient(base_url="http://data.test", transport=transport)
    guide._admin = httpx.AsyncClient(base_url="http://admin.test", transport=transport)
    found = {step.step: step async for step in guide.steps()}
    await guide.close()
    return found


@pytest.mark.parametrize("status", [200, 500])
async def test_a_gateway_that_does_nothing_is_not_ok(status: int) -> None:
    """A server that lets everything pass, or fails at everything, passes no step of a block."""
    served = b'data: {"choices":[{"delta":{"content":"hi"},"finish_reason":null}]}\n\ndata: {"choices":[]}\n\ndata: [DONE]\n\n'

    def answer(request: httpx.Request) -> httpx.Response:
        if b'"stream":true' in request.content.replace(b" ", b""):
            return httpx.Response(status, content=served)
        return httpx.Response(status, json={"choices": []})

    found = await steps_with(answer)
    for name in ("benign_streamed", "prompt_blocked", "answer_blocked", "halted", "benign_again"):
        assert not found[name].ok
    assert found["raised"].ok == (status == 200)


async def test_a_block_that_may_be_asked_again_is_not_ok() -> None:
    """A refusal without ``x-should-retry: false`` would be asked again by clients, so it is not what the tour promises."""

    def answer(_: httpx.Request) -> httpx.Response:
        return httpx.Response(400, json={"error": {"code": "content_filter", "message": "m"}})

    assert not (await steps_with(answer))["prompt_blocked"].ok


def test_a_step_is_printed_as_the_contract_says() -> None:
    """What was shown on the screen is not in the row."""
    assert Step("raised", True, 201, "none", "text").row() == {
        "step": "raised",
        "ok": True,
        "status": 201,
        "finish_reason": "none",
    }
