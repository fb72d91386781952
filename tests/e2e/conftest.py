"""Gateways with the embedded classifier, in front of the real model server and of a scripted one; real clients talk to them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from support.loops import looping, playing, speaks
from support.running import Running, command, flags, gateway, until

from gateway.demo.answers import Said
from gateway.demo.scripted import ScriptedUpstream
from gateway.demo.upstream import free_port as unused_port
from gateway.demo.upstream import start_model_server

RULE = "e2e-canary"


@dataclass(frozen=True, slots=True)
class Stage:
    """A gateway and the scripted model server behind it."""

    running: Running
    upstream: ScriptedUpstream

    def says(self, *said: Said, pace: float = 0.0) -> None:
        """What the model server answers from now on."""
        self.upstream.script(speaks(*said, pace=pace))

    def asked(self) -> int:
        """Exchanges that the gateway has concluded."""
        return self.running.asked()


@pytest.fixture(scope="session")
def real_upstream() -> Iterator[str]:
    """llama.cpp with the demo's model; a fallback to the scripted server is a failure here."""
    with looping() as loop:
        server = loop.run(start_model_server())
        try:
            assert server.kind == "llama.cpp", "the demo's wheels are missing: the scripted model server answered"
            yield server.url
        finally:
            loop.run(server.stop())


def classified(url: str, state: Any) -> list[str]:
    """The arguments of a gateway with the embedded classifier."""
    return [argument for argument in flags(url, state) if argument != "--no-classifiers"]


@pytest.fixture(scope="session")
def real(real_upstream: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A gateway at ASL-3 in front of the real model server."""
    state = tmp_path_factory.mktemp("real") / "state"
    with gateway(state, classified(real_upstream, state)) as running:
        yield running


@pytest.fixture(scope="session")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """A gateway at ASL-3 in front of a scripted model server, with a rule for answers added by the command line."""
    state = tmp_path_factory.mktemp("stage") / "state"
    literal = ["--literal", "amber kestrel protocol", "--direction", "output", "--reason", "a test of answers"]
    with playing() as upstream, gateway(state, classified(upstream.url, state)) as running:
        code, _, errors = command("rules", "add", "--id", RULE, *literal, "--state", str(state))
        assert code == 0, errors
        yield Stage(running, upstream)


@pytest.fixture
def halted(stage: Stage) -> Iterator[Stage]:
    """The same gateway while its model is halted."""
    brake = {"level": "asl-5", "owner": "operator", "reason": "a test of the halt"}
    assert stage.running.api("POST", "/models/demo-model/brakes", json=brake).status_code == 201
    try:
        yield stage
    finally:
        over = {"owner": "operator", "reason": "the test is over"}
        assert stage.running.api("DELETE", "/models/demo-model/brakes", json=over).status_code == 200


@pytest.fixture
def once() -> Callable[[Running, Callable[[], Any]], None]:
    """Checks that an act of a client is exactly one exchange at the gateway, although clients retry by default."""

    def check(running: Running, act: Callable[[], Any]) -> None:
        before = running.asked()
        act()
        until(lambda: running.asked() > before)
        assert running.asked() == before + 1

    return check


@pytest.fixture
def free_port() -> int:
    """A loopback port on which nobody listens."""
    return unused_port()
