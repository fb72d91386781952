"""What every fault test looks at: the rows of the ledger as they are on disk, the counters, and whether benign traffic is served again."""

from __future__ import annotations

import asyncio
import contextlib
import json
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import httpx

from gateway.demo.answers import Said
from gateway.demo.scripted import Handler, Recorded, Script, ScriptedUpstream, Until
from gateway.ledger.rows import parse
from gateway.ledger.verify import Chain, export, verify
from gateway.state.sqlite import heads
from support.canary import CANARY
from support.loops import playing, speaks
from support.running import CHAT, SECONDS, Running, gateway, question, until

Row = Mapping[str, str | int]
T = TypeVar("T")
GOOD = speaks(Said(("The harbour ", "lies still.")))


@dataclass(frozen=True, slots=True)
class Scene:
    """A gateway process and the scripted model server behind it."""

    running: Running
    upstream: ScriptedUpstream

    def rows(self, kind: str) -> list[Row]:
        """All rows of one kind, oldest first, read from the files."""
        return rows(self.running.state, kind)

    def outcome(self, act: Callable[[], T]) -> tuple[Row, T]:
        """The outcome row of the exchange that an act makes, and what the act gave."""
        before = len(self.rows("outcome"))
        given = act()
        return until(lambda: self.rows("outcome")[before:])[0], given

    def total(self, name: str, **labels: str) -> float:
        """The sum of a metric over all series that have these labels."""
        return total(self.running, name, **labels)

    def served(self) -> None:
        """Benign traffic is served, unary and streamed, and is on record. To be asked after a fault has cleared."""
        self.upstream.script(GOOD)
        served(self.running)


def rows(state: Path, kind: str = "") -> list[Row]:
    """All rows of one kind, or of every kind, in a state directory: chain by chain, oldest first."""
    return [row for row in map(parse, export(state / "ledger")) if kind in {"", row["kind"]}]


def total(running: Running, name: str, **labels: str) -> float:
    """The sum of a metric over all series that have these labels."""
    text = httpx.get(running.admin + "/metrics", trust_env=False, timeout=SECONDS).text
    wanted = [f'{key}="{value}"' for key, value in labels.items()]
    found = [
        line for line in text.splitlines() if line.startswith(("asl_gateway_" + name + "{", f"asl_gateway_{name} "))
    ]
    return sum(float(line.rsplit(" ", 1)[1]) for line in found if all(label in line for label in wanted))


def served(running: Running) -> None:
    """Benign traffic is served, unary and streamed, and both rows are on record."""
    answer = running.chat()
    assert (answer.status_code, "harbour" in answer.text) == (200, True), answer.text
    request, data = _stream(running, None)
    assert b"harbour" in data
    assert data.endswith(b"data: [DONE]\n\n")
    wanted = {answer.headers["x-request-id"], request}
    until(
        lambda: wanted <= {str(row["request"]) for row in rows(running.state, "outcome") if row["outcome"] == "served"}
    )


class Heard:
    """An event that one thread sets and the scripted model server's loop waits for: ``Until(heard)`` in a script."""

    def __init__(self) -> None:
        self._flag = threading.Event()

    def set(self) -> None:
        """It has happened."""
        self._flag.set()

    async def wait(self) -> None:
        """Return once it has happened."""
        while not self._flag.is_set():
            await asyncio.sleep(0.005)


def gated(heard: Heard, said: Said) -> Handler:
    """A stream that stops after its first words until something has happened."""

    def answer(request: Recorded) -> Script:
        whole = speaks(said)(request)
        return (*whole[:6], Until(heard), *whole[6:])  # type: ignore[arg-type]  # it has the one method that is used

    return answer


def stream(running: Running, heard: Heard | None = None, **more: Any) -> bytes:
    """One streamed chat completion, as far as it came; ``heard`` is set with its first bytes."""
    return _stream(running, heard, **more)[1]


def _stream(running: Running, heard: Heard | None, **more: Any) -> tuple[str, bytes]:
    got, request = b"", ""
    body = question(stream=True, **more)
    with (
        contextlib.suppress(httpx.TransportError),
        httpx.stream("POST", running.data + CHAT, json=body, trust_env=False, timeout=SECONDS) as answer,
    ):
        request = answer.headers["x-request-id"]
        for data in answer.iter_raw():
            got += data
            if heard is not None:
                heard.set()
    return request, got


def chains(state: Path) -> list[Chain]:
    """Every chain of a state directory, verified against its head."""
    return verify(state / "ledger", heads(state / "gateway.db"))


def sound(state: Path) -> bool:
    """Whether every chain verifies."""
    return all(chain.ok for chain in chains(state))


def config(folder: Path, upstream: str, **more: Any) -> Path:
    """A configuration file in a folder; JSON is YAML. Rules only, free ports, no grace."""
    model = {"name": "demo-model", "asl": 3, "upstream": {"url": upstream}}
    address = {"address": "127.0.0.1:0"}
    data = {"listen": address, "admin": address, "state": "state", "classifiers": False, "models": [model], **more}
    path = folder / "gateway.yaml"
    path.write_text(json.dumps(data, indent=1))
    return path


def rule_file(folder: Path, **more: Any) -> Path:
    """A folder of rules that block the canary phrase in both directions."""
    made = folder / "rules"
    made.mkdir(exist_ok=True)
    rule = {
        "id": "rr-canary", "category": "cbrn", "direction": "both", "match": {"literal": CANARY}, "action": "block",
        "reason": "a test", **more,
    }  # fmt: skip
    (made / "canary.yaml").write_text(json.dumps({"rules": [rule]}))
    return made


@contextlib.contextmanager
def scene(
    folder: Path,
    environment: Mapping[str, str] | None = None,
    answer: Script | Handler = GOOD,
    expires: str | None = None,
    **more: Any,
) -> Iterator[Scene]:
    """A gateway with a rule against the canary phrase, in front of a scripted model server; keywords are keys of the file."""
    rules = str(rule_file(folder, **({"expires": expires} if expires else {})))
    with playing() as upstream:
        upstream.script(answer)
        path = config(folder, upstream.url, **{"rules": rules, **more})
        with gateway(folder / "state", ["serve", "--config", str(path)], environment) as running:
            yield Scene(running, upstream)
