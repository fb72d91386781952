"""A real disk that fills up: what is given up at 90 and 97 %, what never is, and that all of it comes back."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx
from support.running import CHAT, question
from support.small_disk import fill_to, small_disk

from gateway.app.gateway import Gateway
from gateway.ledger import verify
from gateway.ledger.base import Kind
from gateway.ledger.reading import show
from gateway.settings.model import Settings
from gateway.state.sqlite import heads

Make = Callable[..., Settings]
Start = Callable[[Settings], Awaitable[Gateway]]


async def chat(gateway: Gateway, model: str) -> httpx.Response:
    """One chat completion."""
    async with httpx.AsyncClient(trust_env=False, timeout=60) as http:
        return await http.post(gateway.addresses.data + CHAT, json=question("Hello", model=model))


async def admin(gateway: Gateway, method: str, path: str, **more: Any) -> httpx.Response:
    """One call of the admin API."""
    token = (gateway.settings.state / "operator.token").read_text().strip()
    async with httpx.AsyncClient(trust_env=False, timeout=60) as http:
        headers = {"authorization": f"Bearer {token}"}
        return await http.request(method, gateway.addresses.admin + path, headers=headers, **more)


def kinds(gateway: Gateway, decision: str) -> list[object]:
    """The kinds of the rows that stand for a decision, each once: several covers of a second say different things about it."""
    found = show(gateway.settings.state / "ledger", decision)
    return sorted({row["kind"] for row in found}, key=str)


async def fill_and_empty(gateway: Gateway, disk: Path) -> None:
    """The whole course: a low and a high level at each filling."""

    async def at(fraction: float, *statuses: int) -> list[list[object]]:
        fill_to(disk, fraction)
        gateway.upkeep.sample()
        answers = [await chat(gateway, model) for model in ("m1", "m3")]
        assert [answer.status_code for answer in answers] == list(statuses), answers[0].text
        await gateway.pipeline.idle.wait()
        gateway.records.flush()
        await gateway.ledger.append(
            Kind.CHANGE, {"act": "test", "asl": "asl-1"}
        ).durable()  # all rows before it are there
        return [kinds(gateway, answer.headers["x-asl-decision-id"]) for answer in answers]

    whole = ["intent", "outcome"]
    assert await at(0.5, 200, 200) == [whole, whole]
    assert await at(0.85, 200, 200) == [whole, whole]
    assert await at(0.91, 200, 200) == [["cover"], whole]
    assert await at(0.975, 503, 503) == [["cover"], ["cover"]]

    refused = await chat(gateway, "m3")
    assert refused.json()["error"]["code"] == "overloaded"
    assert int(refused.headers["retry-after"]) > 0
    brake = {"level": "asl-5", "owner": "o", "reason": "incident 12"}
    assert (await admin(gateway, "POST", "/api/v1/models/m3/brakes", json=brake)).status_code == 201
    assert (await admin(gateway, "GET", "/readyz")).json() == {"ready": False, "reasons": ["ledger_full"]}
    clear = {"owner": "o", "reason": "all clear"}
    assert (await admin(gateway, "DELETE", "/api/v1/models/m3/brakes", json=clear)).status_code == 200

    assert await at(0.96, 503, 503) == [["cover"], ["cover"]]  # relief comes two points below
    assert await at(0.94, 200, 200) == [["cover"], whole]
    assert await at(0.5, 200, 200) == [whole, whole]


async def test_a_disk_that_fills_up_and_empties_again(
    make: Make, start: Start, tmp_path: Path, model_server: str
) -> None:
    """Low levels are summarised at 90 %, everything new is refused at 97 %, brakes can still be raised, and all comes back."""
    with small_disk(tmp_path / "disk", 64) as disk:
        state = disk / "state"
        models = [{"name": f"m{asl}", "asl": asl, "upstream": {"url": model_server}} for asl in (1, 3)]
        gateway = await start(make(state=str(state), models=models))
        try:
            await fill_and_empty(gateway, disk)
        finally:
            await gateway.close()  # before the disk is taken from under it
        (chain,) = verify.verify(state / "ledger", heads(state / "gateway.db"))
        assert chain.ok
        rows = [json.loads(row) for row in verify.export(state / "ledger")]
        counted = sum(row["count"] for row in rows if row["kind"] == "summary" and row["of"] == "outcome")
        served, refusals = 2, 5
        assert counted == served + refusals
