"""The wall clock jumps under a running gateway: nothing times out, no level falls, and the ledger's time never goes back."""

from __future__ import annotations

import datetime as dt
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from support.canary import CANARY
from support.faulting import Heard, Scene, gated, rows, scene, sound, stream
from support.running import until
from support.wall_clock import WallClock, wall_clock

from gateway.demo.answers import Said

DAY = 86_400
YEAR = 365 * DAY


@pytest.fixture(scope="module")
def clock(tmp_path_factory: pytest.TempPathFactory) -> WallClock:
    """The gateway's clock."""
    return wall_clock(tmp_path_factory.mktemp("clock"))


@pytest.fixture(scope="module")
def one(clock: WallClock, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """A gateway with that clock."""
    with scene(tmp_path_factory.mktemp("scene"), clock.environment) as made:
        yield made


def times(state: Path) -> list[int]:
    """The times of all rows of the one chain, in its order."""
    return [int(row["time_ms"]) for row in rows(state)]


def told(one: Scene) -> float:
    """The gateway's clock now; the model is not asked."""
    answer = one.running.chat(model="nobody")
    stamp = answer.headers["x-asl-decision-id"].removeprefix("d-")[:11]
    return int(stamp, 16) / 1000 - time.time()


def jump_to(one: Scene, clock: WallClock, offset: int) -> None:
    """Set the gateway's clock, and wait until it has noticed."""
    clock.jump(offset)
    until(lambda: abs(told(one) - offset) < DAY / 2)


def test_a_jump_under_a_stream(one: Scene, clock: WallClock) -> None:
    """A day or a year, forth or back: streams in flight and exchanges after it are served; rows never go back in time; the level stays."""
    for offset in (DAY, -DAY, YEAR, -YEAR, 0):
        go, heard, got = Heard(), Heard(), list[bytes]()
        one.upstream.script(gated(go, Said(("The boats come back with the tide. ",) * 12)))
        reader = threading.Thread(target=lambda heard=heard, got=got: got.append(stream(one.running, heard)))
        asked = len(one.upstream.requests)
        reader.start()
        until(lambda asked=asked: len(one.upstream.requests) > asked)
        jump_to(one, clock, offset)
        go.set()
        reader.join(30)
        assert got[0].endswith(b"data: [DONE]\n\n")
        one.served()
        assert one.running.ready().status_code == 200
        assert one.running.api("GET", "/models/demo-model").json()["in_force"] == "asl-3"
    written = times(one.running.state)
    assert written == sorted(written)
    assert sound(one.running.state)
    assert {row["outcome"] for row in one.rows("outcome")} <= {"served", "refused"}


def test_refusals_are_written_after_a_jump_back(one: Scene, clock: WallClock) -> None:
    """Counts of the time before a jump back do not wait until the clock has caught up."""

    def written() -> int:
        return sum(int(row["count"]) for row in one.rows("refusals"))

    before = written()
    jump_to(one, clock, 2 * DAY)
    assert httpx.get(one.running.data + "/nowhere", trust_env=False).status_code == 404
    jump_to(one, clock, 0)
    until(lambda: written() == before + 1)


def test_a_rule_follows_the_wall_clock(tmp_path: Path) -> None:
    """A rule blocks to the end of its last day by the gateway's clock, is over after it, and blocks again when the clock goes back."""
    clock = wall_clock(tmp_path)
    today = dt.datetime.now(dt.UTC).date()
    with scene(tmp_path, clock.environment, expires=(today + dt.timedelta(days=1)).isoformat()) as one:
        for offset, status in ((0, 400), (3 * DAY, 200), (-YEAR, 400)):
            jump_to(one, clock, offset)
            assert one.running.chat(CANARY).status_code == status
            assert one.running.api("GET", "/models/demo-model").json()["in_force"] == "asl-3"


def test_a_restart_in_the_past(tmp_path: Path) -> None:
    """Started with its clock a year back: the brake holds, it serves after the release, and the chain's time goes on from its last row."""
    clock = wall_clock(tmp_path)
    brake = {"level": "asl-5", "owner": "operator", "reason": "a test"}
    over = {"owner": "operator", "reason": "the test is over"}
    with scene(tmp_path, clock.environment) as one:
        one.served()
        assert one.running.api("POST", "/models/demo-model/brakes", json=brake).status_code == 201
        assert one.running.stop() == 0
    clock.jump(-YEAR)
    with scene(tmp_path, clock.environment) as one:
        assert one.running.chat().status_code == 403
        assert one.running.api("DELETE", "/models/demo-model/brakes", json=over).status_code == 200
        one.served()
        assert one.running.stop() == 0
        written = times(one.running.state)
        assert written == sorted(written)
        assert sound(one.running.state)
