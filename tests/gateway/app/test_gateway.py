"""The composition: what is opened is closed, what fails leaves a gateway that says so, and drain and reload keep their word."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import httpx
import pytest
from support.fake_classifier import FakeClassifier
from support.running import CHAT, question

from classifiers.base import ClassifierUnavailable
from gateway.app import gateway as composition
from gateway.app.gateway import Gateway
from gateway.app.serving import ListenError
from gateway.console.api import MAX_BODY
from gateway.ledger import verify
from gateway.ledger.base import LedgerError
from gateway.ledger.files import LedgerTampered
from gateway.policy.changes import ChangeRefused
from gateway.settings.faults import ConfigInvalid
from gateway.settings.model import Settings
from gateway.state.sqlite import heads

Make = Callable[..., Settings]
Start = Callable[[Settings], Awaitable[Gateway]]


def client(gateway: Gateway) -> httpx.AsyncClient:
    """A client without a base."""
    assert gateway is not None
    return httpx.AsyncClient(trust_env=False, timeout=20)


async def reasons(gateway: Gateway) -> list[str]:
    """What /readyz says."""
    async with client(gateway) as http:
        answer = await http.get(gateway.addresses.admin + "/readyz")
    found: list[str] = answer.json()["reasons"]
    assert answer.status_code == (503 if found else 200)
    return found


async def ask(gateway: Gateway, text: str = "Hello", model: str = "demo") -> httpx.Response:
    """One chat completion."""
    async with client(gateway) as http:
        return await http.post(gateway.addresses.data + CHAT, json=question(text, model=model))


async def test_a_start_serves_and_a_stop_leaves_a_chain_that_verifies(make: Make, start: Start) -> None:
    """Start, intent, outcome and stop rows; nobody is registered afterwards."""
    gateway = await start(make())
    assert await reasons(gateway) == []
    assert (await ask(gateway)).status_code == 200
    await gateway.stop()
    state = gateway.settings.state
    (chain,) = verify.verify(state / "ledger", heads(state / "gateway.db"))
    assert chain.ok
    kinds = [row.split(b'"kind":"')[1].split(b'"')[0] for row in verify.export(state / "ledger")]
    assert kinds == [b"start", b"policy", b"intent", b"outcome", b"stop"]
    assert (state / "admin.json").read_text() == '{"replicas": []}\n'


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"rules": "/nonexistent/rules"}, ConfigInvalid),
        ({"listen": {"address": "256.0.0.1:0"}}, ListenError),
        ({"admin": {"address": "256.0.0.1:0", "plaintext": True}}, ListenError),
    ],
)
async def test_a_start_that_fails_closes_what_it_opened(
    make: Make, start: Start, change: dict[str, object], error: type[Exception]
) -> None:
    """The next start on the same directory takes the same chain, which still verifies."""
    with pytest.raises(error):
        await start(make(**change))
    gateway = await start(make())
    assert gateway.ledger.replica == "r1"
    assert (await ask(gateway)).status_code == 200


async def test_an_upstream_that_cannot_be_used_is_a_fault_of_the_configuration(
    make: Make, start: Start, tmp_path: Path
) -> None:
    """A missing CA file and a missing key are named by their place."""
    for part, word in (({"ca": str(tmp_path / "none.pem")}, "PEM"), ({"key": {"env": "NOT_SET"}}, "is not set")):
        model = {"name": "m", "asl": 3, "upstream": {"url": "https://localhost:9", **part}}
        with pytest.raises(ConfigInvalid, match=word):
            await start(make(models=[model]))


async def test_an_edited_chain_frees_its_slot(make: Make, start: Start) -> None:
    """A refused ledger is not held: the next start is refused for the same reason, not for being the second."""
    first = await start(make())
    await first.stop()
    (path,) = (first.settings.state / "ledger").glob("*/*.jsonl")
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:-1]))
    for _ in range(2):
        with pytest.raises(LedgerTampered):
            await start(make())


async def test_a_lost_database_beside_a_ledger_is_not_an_empty_policy(make: Make, start: Start) -> None:
    """Without its brakes and records the gateway does not start: emptiness would be the lowest level there is."""
    settings = make()
    await (await start(settings)).close()
    for path in settings.state.glob("gateway.db*"):
        path.unlink()
    with pytest.raises(LedgerTampered, match="missing"):
        await Gateway(settings, {}).start()
    assert not (settings.state / "gateway.db").exists()


async def test_the_higher_level_is_kept(make: Make, start: Start, model_server: str) -> None:
    """A start below the record is refused (rule 4)."""
    await (await start(make())).stop()
    model = {"name": "demo-model", "asl": 2, "upstream": {"url": model_server}}
    with pytest.raises(ChangeRefused, match="would lower it"):
        await start(make(models=[model]))


async def test_the_classifier_makes_a_gateway_ready(make: Make, start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    """Until it is warm the gateway is not ready; then it judges, and is closed with the gateway."""
    fake, warm = FakeClassifier(), asyncio.Event()
    begin = fake.start

    async def slow() -> None:
        await warm.wait()
        await begin()

    monkeypatch.setattr(fake, "start", slow)
    monkeypatch.setattr(composition, "create", lambda *_: fake)
    gateway = await start(make(classifiers=True))
    assert await reasons(gateway) == ["classifier_not_ready"]
    warm.set()
    while await reasons(gateway):
        await asyncio.sleep(0.01)
    await ask(gateway)
    assert fake.calls
    await gateway.stop()
    with pytest.raises(ClassifierUnavailable):
        await fake.score(["x"], budget=9, seconds=1)


@pytest.mark.parametrize("when", ["made", "started"])
async def test_without_a_trusted_classifier_the_gateway_is_not_ready(
    make: Make, start: Start, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    """Files that are not the pinned ones leave a gateway that says so for ever, and whose substitutes judge."""

    def create(*_: object) -> FakeClassifier:
        if when == "made":
            raise ClassifierUnavailable("not the pinned one")
        return FakeClassifier(mode="raise")

    monkeypatch.setattr(composition, "create", create)
    gateway = await start(make(classifiers=True))
    await asyncio.sleep(0.05)
    assert await reasons(gateway) == ["classifier_not_ready"]
    assert (await ask(gateway)).status_code in {200, 503}


async def test_a_stream_longer_than_the_drain_is_cut(make: Make, start: Start) -> None:
    """After the deadline what is left is ended, recorded, and the gateway stops."""
    gateway = await start(make(deadlines={"grace": 0, "drain": 0.2}))
    body = question("Repeat after me: " + "word " * 900, stream=True, model="demo")
    async with client(gateway) as http, http.stream("POST", gateway.addresses.data + CHAT, json=body) as answer:
        lines = answer.aiter_lines()
        await anext(lines)
        stopping = asyncio.create_task(gateway.stop())
        rest = [line async for line in lines]
        assert '"finish_reason":"stop"' not in "".join(rest)
        await stopping
    outcomes = [row for row in verify.export(gateway.settings.state / "ledger") if b'"kind":"outcome"' in row]
    assert len(outcomes) == 1
    assert b'"outcome":"served"' not in outcomes[0]


async def test_while_draining_new_exchanges_are_refused(make: Make, start: Start) -> None:
    """A request on an open connection is answered with 503 and nothing is forwarded."""
    gateway = await start(make())
    gateway.pipeline.draining = True
    assert await reasons(gateway) == ["draining"]
    answer = await ask(gateway)
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "draining")


async def test_a_reload_adds_models_and_a_refused_one_changes_nothing(
    make: Make, start: Start, model_server: str
) -> None:
    """New models serve; a lowered level or an upstream that cannot be used leaves everything as it was."""
    gateway = await start(make())
    model = {"name": "demo-model", "aliases": ["demo"], "asl": 3, "upstream": {"url": model_server}}
    other = {**model, "name": "other", "aliases": []}
    await gateway.reload(make(models=[model, other]))
    assert (await ask(gateway, model="other")).status_code == 200
    bad = {**other, "upstream": {"url": "https://localhost:9", "ca": "/nonexistent/ca.pem"}}
    for models in ([{**model, "asl": 2}, other], [model, bad]):
        with pytest.raises((ChangeRefused, ConfigInvalid)):
            await gateway.reload(make(models=models))
    assert (await ask(gateway, model="other")).status_code == 200
    assert (await ask(gateway)).status_code == 200


async def test_readiness_follows_the_ledger(make: Make, start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    """A ledger that cannot be written is a reason not to be ready."""
    gateway = await start(make())
    monkeypatch.setattr(type(gateway.ledger), "writable", property(lambda _: False))
    assert await reasons(gateway) == ["ledger_not_writable"]


async def test_a_ledger_that_failed_does_not_keep_the_gateway(
    make: Make, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When the last row cannot be written the gateway ends all the same."""
    gateway = await start(make())

    def refuse(*_: object) -> None:
        raise LedgerError("no space left")

    monkeypatch.setattr(gateway.ledger, "append", refuse)
    await gateway.stop()
    assert not gateway.ledger.writable


async def test_refusals_and_gauges_are_written_every_second(make: Make, start: Start) -> None:
    """An unknown route is counted, and its row follows without another request."""
    gateway = await start(make())
    async with client(gateway) as http:
        assert (await http.get(gateway.addresses.data + "/v1/nothing")).status_code == 404
    export = gateway.settings.state / "ledger"
    async with asyncio.timeout(30):
        while b'"reason":"unknown_route"' not in b"".join(verify.export(export)):
            await asyncio.sleep(0.05)
    assert b"asl_gateway_in_flight 0.0" in gateway.metrics.render()


async def test_the_admin_plane_answers_to_its_own_names(make: Make, start: Start) -> None:
    """Another Host is refused on loopback, so that rebound DNS leads nowhere; a large body is refused too."""
    gateway = await start(make())
    async with client(gateway) as http:
        url = gateway.addresses.admin + "/livez"
        assert (await http.get(url)).json() == {"status": "ok"}
        assert (await http.get(url, headers={"host": "evil.test"})).status_code == 421
        port = url.split(":")[2].split("/")[0]
        assert (await http.get(url, headers={"host": f"localhost:{port}"})).status_code == 200
        token = (gateway.settings.state / "operator.token").read_text().strip()
        headers = {"authorization": f"Bearer {token}"}
        answer = await http.post(
            gateway.addresses.admin + "/api/v1/screen", headers=headers, content=b" " * (MAX_BODY + 1)
        )
        assert answer.status_code == 413
