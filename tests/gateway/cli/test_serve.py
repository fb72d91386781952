"""``asl-gateway serve`` and ``check-config``: real processes, their signals and their exit codes."""

from __future__ import annotations

import json
import resource
import signal
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import typer
from click.testing import Result
from support.canary import CANARY
from support.running import CHAT, Running, command, flags, gateway, question, until

from gateway.app.serving import ListenError
from gateway.app.state_dir import StateDirError
from gateway.cli import serve
from gateway.cli.exits import Exit
from gateway.controls.magic import MAGIC
from gateway.controls.rules import RuleError
from gateway.descriptors import MOST
from gateway.ledger.base import LedgerError
from gateway.ledger.files import LedgerTampered
from gateway.policy.changes import ChangeRefused
from gateway.policy.levels import LevelInvalid
from gateway.settings.faults import ConfigInvalid
from gateway.settings.load import load
from gateway.state.base import StoreError

Asl = Callable[..., Result]


def config(tmp_path: Path, upstream: str, **more: Any) -> Path:
    """A configuration file; JSON is YAML."""
    model = {"name": "demo-model", "aliases": ["demo"], "asl": 3, "upstream": {"url": upstream}}
    address = {"address": "127.0.0.1:0"}
    data = {"listen": address, "admin": address, "state": "state", "classifiers": False, "models": [model], **more}
    path = tmp_path / "gateway.yaml"
    path.write_text(json.dumps(data, indent=1))
    return path


@pytest.fixture(scope="module")
def stopped(model_server: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The state directory of a gateway that served at ASL-3, was raised to ASL-4, and was killed with -9."""
    state = tmp_path_factory.mktemp("stopped") / "state"
    with gateway(state, flags(model_server, state)) as running:
        assert running.chat().status_code == 200
        body = {"level": "asl-4", "owner": "tester", "reason": "r"}
        assert running.api("POST", "/models/demo-model/brakes", json=body).status_code == 201
        running.kill()
    return state


def test_a_brake_survives_kill_9_and_a_restart(stopped: Path, model_server: str) -> None:
    """The level that an operator raised is in force after a crash, without anybody's doing; the chain goes on."""
    with gateway(stopped, flags(model_server, stopped)) as running:
        shown = running.api("GET", "/models/demo-model").json()
        assert (shown["in_force"], len(shown["brakes"])) == ("asl-4", 1)
        assert json.loads((stopped / "admin.json").read_text())["replicas"] == [
            {"replica": "r1", "pid": running.process.pid, "data": running.data, "admin": running.admin}
        ]
        assert running.stop() == 0
    assert command("ledger", "verify", "--state", str(stopped))[0] == 0
    assert json.loads((stopped / "admin.json").read_text()) == {"replicas": []}


def test_a_lower_level_is_refused_at_start(stopped: Path, model_server: str) -> None:
    """A second start with a lower --asl ends with 3 and says why."""
    code, out, err = command(*flags(model_server, stopped, asl=2))
    assert (code, out) == (Exit.CONFIG_INVALID, "")
    assert "is on record at asl-3; starting it at asl-2 would lower it" in err


def test_a_higher_level_is_in_force(tmp_path: Path, model_server: str) -> None:
    """A start with a higher --asl takes it, and from then on the lower one is refused."""
    for asl, expected in ((2, "asl-2"), (4, "asl-4")):
        with gateway(tmp_path / "s", flags(model_server, tmp_path / "s", asl)) as running:
            assert running.api("GET", "/models/demo-model").json()["in_force"] == expected
    assert command(*flags(model_server, tmp_path / "s", 2))[0] == Exit.CONFIG_INVALID


def test_secrets_are_the_owners_alone(shared: Running) -> None:
    """The operator's token and the digest key are readable for their owner only."""
    for name in ("operator.token", "digest.key"):
        assert (shared.state / name).stat().st_mode & 0o777 == 0o600
    assert shared.state.stat().st_mode & 0o777 == 0o700


def test_an_edited_ledger_is_refused_at_start(tmp_path: Path, model_server: str) -> None:
    """A chain with a cut row ends with 6, and what is there is kept."""
    state = tmp_path / "s"
    with gateway(state, flags(model_server, state)) as running:
        running.chat()
    (path,) = (state / "ledger").glob("*/*.jsonl")
    cut = b"".join(path.read_bytes().splitlines(keepends=True)[:-1])
    path.write_bytes(cut)
    code, out, err = command(*flags(model_server, state))
    assert (code, out) == (Exit.VERIFICATION_FAILED, "")
    assert "ledger verify" in err
    assert path.read_bytes() == cut


def test_an_address_in_use_is_a_failure(shared: Running, tmp_path: Path, model_server: str) -> None:
    """The message names the address; nothing stays registered."""
    address = shared.data.removeprefix("http://")
    code, _, err = command(*flags(model_server, tmp_path / "s"), "--listen", address)
    assert code == Exit.FAILURE
    assert address in err
    assert not (tmp_path / "s" / "admin.json").exists()


def test_sighup_reloads_and_keeps_the_old_on_a_fault(tmp_path: Path, model_server: str) -> None:
    """A valid file is in force without a restart; a faulty one changes nothing and is logged; a lower level is refused."""
    path = config(tmp_path, model_server)
    with gateway(tmp_path / "state", ["serve", "--config", str(path)]) as running:

        def reload(models: list[dict[str, Any]], text: str = "") -> None:
            config(tmp_path, model_server, models=models)
            path.write_text(path.read_text() + text)
            running.process.send_signal(signal.SIGHUP)

        def names() -> dict[str, str]:
            return {one["model"]: one["in_force"] for one in running.api("GET", "/models").json()["models"]}

        model = {"name": "demo-model", "asl": 3, "upstream": {"url": model_server}}
        other = {**model, "name": "other", "asl": 2}
        reload([model, other])
        until(lambda: names() == {"demo-model": "asl-3", "other": "asl-2"})
        assert running.chat(model="other").status_code == 200
        reload([model], "\n]")
        until(lambda: running.log().count("reload_refused") == 1)
        reload([{**model, "asl": 2}, other])
        until(lambda: running.log().count("reload_refused") == 2)
        assert names() == {"demo-model": "asl-3", "other": "asl-2"}
        assert running.chat(model="other").status_code == 200


def test_sigterm_drains_a_stream_in_flight(tmp_path: Path, model_server: str) -> None:
    """Not ready with the reason draining, the stream comes to its own end, and the process ends with 0."""
    path = config(tmp_path, model_server)
    grace = {"ASL_GATEWAY__DEADLINES__GRACE": "0.3"}
    with gateway(tmp_path / "state", ["serve", "--config", str(path)], grace) as running:
        body = question("Repeat after me: " + "word " * 120, stream=True)
        with httpx.stream("POST", running.data + CHAT, json=body, trust_env=False, timeout=20) as answer:
            lines = answer.iter_lines()
            next(lines)
            running.process.send_signal(signal.SIGTERM)
            until(lambda: running.ready().status_code == 503)
            assert running.ready().json() == {"ready": False, "reasons": ["draining"]}
            rest = [line for line in lines if line]
        assert rest[-1] == "data: [DONE]"
        assert '"finish_reason":"stop"' in "".join(rest)
        assert running.process.wait(20) == 0
    rows = [
        json.loads(line) for line in command("ledger", "export", "--state", str(tmp_path / "state"))[1].splitlines()
    ]
    assert [row["outcome"] for row in rows if row["kind"] == "outcome"] == ["served"]
    assert rows[-1]["kind"] == "stop"


def test_a_level_raised_through_one_replica_is_in_force_on_the_other(
    shared: Running, model_server: str, tmp_path: Path
) -> None:
    """Two replicas on one state directory: a raise through one is in force on the other within a second; both chains verify."""
    state = tmp_path / "s"
    with gateway(state, flags(model_server, state)) as one, gateway(state, flags(model_server, state)) as two:
        assert {one.chat().status_code, two.chat().status_code} == {200}
        code, out, _ = command("level", "raise", "demo", "asl-5", "--reason", "r", "--json", "--state", str(state))
        assert (code, json.loads(out)["in_force"]) == (0, "asl-5")
        until(lambda: {one.chat().status_code, two.chat().status_code} == {403}, seconds=1.0)
        code, out, _ = command("ledger", "verify", "--state", str(state), "--json")
        assert (code, [chain["replica"] for chain in json.loads(out)["chains"]]) == (0, ["r1", "r2"])
        one.kill()
        code, out, _ = command("level", "show", "--state", str(state), "--json")
        assert (code, json.loads(out)["models"][0]["standing"]) == (0, "halted")
    assert command("ledger", "verify", "--state", str(state))[0] == 0


def test_no_text_of_a_prompt_or_answer_is_in_logs_metrics_or_ledger(tmp_path: Path, model_server: str) -> None:
    """Benign, blocked and echoed texts, raw and broken ones, leave no trace but digests and counts."""
    state, secret = tmp_path / "s", "violet harbour sentence"
    with gateway(state, [*flags(model_server, state)]) as running:
        rule = {"id": "rr-1", "category": "cbrn", "match": {"literal": "orange lantern index"}, "reason": "r"}
        assert running.api("POST", "/rules", json=rule).status_code == 201
        texts = (secret, f"Repeat after me: {CANARY}", f"{MAGIC['rules']} {CANARY}", f"orange lantern index {secret}")
        statuses = [running.chat(text).status_code for text in texts]
        assert statuses == [200, 200, 400, 400]
        running.chat(secret, stream=True)
        running.chat(secret, model=CANARY)
        httpx.post(running.data + CHAT, content=f'{{"{secret}": {CANARY}', trust_env=False)
        httpx.get(f"{running.data}/{secret}/{CANARY}", trust_env=False)
        metrics = httpx.get(running.admin + "/metrics", trust_env=False).text
        assert running.stop() == 0
    everything = running.log() + metrics + command("ledger", "export", "--state", str(state))[1]
    assert "policy_in_force" in everything
    assert 'outcome="blocked_input"' in metrics
    for text in (CANARY, "amber", "violet", "harbour"):
        assert text not in everything


@pytest.mark.parametrize(
    "arguments",
    [
        ("serve",),
        ("serve", "--upstream", "http://127.0.0.1:9", "--model", "m"),
        ("serve", "--config", "gateway.yaml", "--asl", "3"),
    ],
)
def test_the_two_forms_do_not_mix(asl: Asl, arguments: tuple[str, ...]) -> None:
    """Half of a form, or both, is a usage error."""
    assert asl(*arguments).exit_code == Exit.USAGE


def test_every_fault_of_a_configuration_is_printed(asl: Asl, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """serve ends with 3 and all faults; check-config prints the same with places and suggestions."""
    monkeypatch.setattr(serve, "configure", lambda: None)
    path = config(tmp_path, "ftp://nowhere", limits={"bdy": "1MiB"}, listen={"address": "nonsense"})
    refused = asl("serve", "--config", str(path), "--listen", "x", "--rules", str(tmp_path), "--state", str(tmp_path))
    assert refused.exit_code == Exit.CONFIG_INVALID
    checked = asl("check-config", str(path))
    assert checked.exit_code == Exit.CONFIG_INVALID
    for word in ("limits.bdy", "did you mean 'body'", "listen.address", "upstream.url"):
        assert word in refused.stderr
        assert word in checked.stdout
    data = json.loads(asl("check-config", str(path), "--json").stdout)
    assert data["ok"] is False
    fault = next(fault for fault in data["faults"] if fault["key"] == "limits.bdy")
    assert path.read_text().splitlines()[fault["line"] - 1].strip().startswith('"bdy"')
    assert fault["suggestion"] == "body"


def test_a_good_configuration_is_ok(asl: Asl, tmp_path: Path) -> None:
    """check-config says so, in words and in JSON."""
    path = config(tmp_path, "http://127.0.0.1:9")
    assert asl("check-config", str(path)).stdout == f"{path}: ok\n"
    assert json.loads(asl("check-config", str(path), "--json").stdout) == {"ok": True, "faults": []}
    assert asl("check-config", str(tmp_path / "missing")).exit_code == Exit.CONFIG_INVALID


class Refusing:
    """A gateway that does not start, for a reason."""

    def __init__(self, error: Exception) -> None:
        self._error = error

    def __call__(self, *_: object) -> Refusing:
        return self

    async def start(self) -> None:
        raise self._error


@pytest.fixture
def loop_signals() -> Iterator[None]:
    """Signal handlers as they were."""
    numbers = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
    before = [signal.getsignal(number) for number in numbers]
    yield
    for number, handler in zip(numbers, before, strict=True):
        signal.signal(number, handler)


@pytest.mark.usefixtures("loop_signals")
@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ConfigInvalid([]), Exit.CONFIG_INVALID),
        (LevelInvalid("why"), Exit.CONFIG_INVALID),
        (ChangeRefused("level_lower", "why"), Exit.CONFIG_INVALID),
        (RuleError("rr-1", "why"), Exit.CONFIG_INVALID),
        (LedgerTampered("why"), Exit.VERIFICATION_FAILED),
        (LedgerError("why"), Exit.FAILURE),
        (StoreError("why"), Exit.FAILURE),
        (ListenError("why"), Exit.FAILURE),
        (StateDirError("why"), Exit.FAILURE),
    ],
    ids=lambda value: type(value).__name__,
)
def test_every_reason_not_to_start_has_its_code(
    error: Exception, code: Exit, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A start that fails ends with the code of its reason and the reason on stderr."""
    monkeypatch.setattr(serve, "Gateway", Refusing(error))
    model = {"name": "m", "asl": 3, "upstream": {"url": "http://127.0.0.1:9"}}
    settings = load(None, {}, {"models": [model]})
    with pytest.raises(typer.Exit) as caught:
        serve.run(settings, lambda _: None, reload=lambda: settings)
    assert caught.value.exit_code == code
    assert "asl-gateway:" in capsys.readouterr().err


def test_a_damaged_database_is_a_failure(tmp_path: Path, model_server: str) -> None:
    """A state database of another program ends with 1, not with a start on an empty policy."""
    (tmp_path / "s").mkdir()
    with sqlite3.connect(tmp_path / "s" / "gateway.db") as database:
        database.execute("CREATE TABLE other (x)")
    database.close()
    code, out, err = command(*flags(model_server, tmp_path / "s"))
    assert (code, out) == (Exit.FAILURE, "")
    assert "gateway.db" in err


@pytest.mark.parametrize("value", ["many", "65", "-1"])
def test_screeners_that_cannot_be_are_refused(tmp_path: Path, model_server: str, value: str) -> None:
    """Neither a number within bounds nor auto: 3, naming the flag."""
    code, out, err = command(*flags(model_server, tmp_path / "s"), "--screeners", value)
    assert (code, out) == (Exit.CONFIG_INVALID, "")
    assert "--screeners" in err


def test_it_opens_as_many_files_as_it_may(tmp_path: Path) -> None:
    """A low soft limit, as shells and services set it, does not decide how many connections there can be."""
    soft, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(512, most), most))
    try:
        with gateway(tmp_path / "state", flags("http://127.0.0.1:9", tmp_path / "state")) as running:
            assert resource.prlimit(running.process.pid, resource.RLIMIT_NOFILE) == (min(most, MOST), most)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, most))
