"""The ledger's disk is full, broken or read-only: nothing is served without a record, and serving resumes without a restart."""

from __future__ import annotations

import errno
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.disk import FailingDisk, failing_disk, fill, mount, small_disk
from support.faulting import Heard, Scene, gated, rows, scene, sound, stream
from support.running import SECONDS, command, flags, until

from gateway.cli.exits import Exit
from gateway.demo.answers import Said
from gateway.state.sqlite import heads

FAULTS = {
    "write-ENOSPC": errno.ENOSPC,
    "write-EIO": errno.EIO,
    "fdatasync-EIO": errno.EIO,
    "fdatasync-ENOSPC": errno.ENOSPC,
}


@pytest.fixture(scope="module")
def disk(tmp_path_factory: pytest.TempPathFactory) -> FailingDisk:
    """The library that makes calls fail."""
    return failing_disk(tmp_path_factory.mktemp("disk"))


@pytest.fixture(scope="module")
def one(disk: FailingDisk, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """One gateway on a disk that fails when told to."""
    with scene(tmp_path_factory.mktemp("ledger"), disk.environment) as made:
        yield made


def refused(one: Scene) -> None:
    """While the ledger cannot write: 503 for everybody, no answer of the model leaves, not ready, and counted."""

    def counted() -> float:  # a disk that is nearly full refuses before a row has failed
        return sum(one.total("requests_total", outcome=outcome) for outcome in ("unrecorded", "overloaded"))

    before = counted()
    answer = one.running.chat()
    assert (answer.status_code, "harbour" in answer.text) == (503, False)
    assert b"harbour" not in stream(one.running)
    assert all(reason.startswith("ledger_") for reason in until(lambda: one.running.ready().json()["reasons"]))
    until(lambda: counted() == before + 2)


def recovered(one: Scene) -> None:
    """Ready again by itself, benign traffic is served, and the chain verifies."""
    until(lambda: one.running.ready().status_code == 200)
    one.served()
    assert sound(one.running.state)


@pytest.mark.parametrize("case", FAULTS)
def test_a_ledger_that_cannot_be_written(one: Scene, disk: FailingDisk, case: str) -> None:
    """A failed write or sync refuses everything; the chain goes on over a gap row that counts what was lost."""
    gaps, asked = len(one.rows("gap")), len(one.upstream.requests)
    with disk.failing(case.split("-", maxsplit=1)[0], FAULTS[case]):
        refused(one)
    recovered(one)
    assert (
        case.startswith("fdatasync") or len(one.upstream.requests) == asked + 2
    )  # only the two that were served after it
    assert len(one.rows("gap")) > gaps
    assert int(one.rows("gap")[-1]["lost"]) > 0
    sent = {request.header("x-request-id") for request in one.upstream.requests}
    assert sent <= {row["request"] for row in one.rows("intent")}


def test_a_ledger_that_fails_under_a_stream(one: Scene, disk: FailingDisk) -> None:
    """A stream whose intent row is on disk comes to its end; its outcome is among what the gap row counts."""
    go, heard, got = Heard(), Heard(), list[bytes]()
    gaps, outcomes = len(one.rows("gap")), len(one.rows("outcome"))
    one.upstream.script(gated(go, Said(("The harbour lies still. ",) * 12)))
    asked = len(one.upstream.requests)
    reader = threading.Thread(target=lambda: got.append(stream(one.running, heard)))
    reader.start()
    until(lambda: len(one.upstream.requests) > asked)
    until(lambda: heads(one.running.state / "gateway.db")["r1"][0] >= int(one.rows("intent")[-1]["seq"]))
    with disk.failing("write", errno.EIO):
        go.set()
        reader.join(SECONDS)
        assert until(lambda: one.running.ready().json()["reasons"]) == ["ledger_not_writable"]
    recovered(one)
    assert got[0].endswith(b"data: [DONE]\n\n")
    assert len(one.rows("outcome")) == outcomes + 2  # those of the recovery
    assert sum(int(row["lost"]) for row in one.rows("gap")[gaps:]) >= 1


def test_a_raise_needs_no_ledger(one: Scene, disk: FailingDisk) -> None:
    """While the ledger cannot write, a level can still be raised and nothing can be loosened."""
    brake = {"level": "asl-5", "owner": "operator", "reason": "a test"}
    over = {"owner": "operator", "reason": "the test is over"}
    with disk.failing("write", errno.EIO):
        one.running.api("POST", "/models/demo-model/brakes", json=brake)
        assert one.running.api("GET", "/models/demo-model").json()["in_force"] == "asl-5"
        assert one.running.api("DELETE", "/models/demo-model/brakes", json=over).status_code >= 500
        assert one.running.api("GET", "/models/demo-model").json()["in_force"] == "asl-5"
        assert one.running.chat().status_code == 403
    until(lambda: one.running.ready().status_code == 200)
    assert one.running.api("DELETE", "/models/demo-model/brakes", json=over).status_code == 200
    recovered(one)


def test_a_full_disk(tmp_path: Path) -> None:
    """A file system without space refuses everything; when there is space again, serving resumes without a restart."""
    with small_disk(tmp_path / "small") as small, scene(small) as one:
        one.served()
        before = len(one.upstream.requests)
        ballast = fill(small)
        for _ in range(40):  # what is left of the last page takes some rows
            if one.running.chat().status_code == 503:
                break
        served = len(one.upstream.requests)
        refused(one)
        assert len(one.upstream.requests) == served
        brake = {"level": "asl-4", "owner": "operator", "reason": "a test"}
        raised = one.running.api("POST", "/models/demo-model/brakes", json=brake).status_code == 201
        level = one.running.api("GET", "/models/demo-model").json()["in_force"]
        assert level == (
            "asl-4" if raised else "asl-3"
        )  # the answer of a raise is the truth, whether there was room or not
        ballast.unlink()
        if raised:
            until(lambda: one.running.ready().status_code == 200)
            over = {"owner": "operator", "reason": "the test is over"}
            assert one.running.api("DELETE", "/models/demo-model/brakes", json=over).status_code == 200
        recovered(one)
        assert one.running.stop() == 0
        intents = {row["request"] for row in rows(one.running.state, "intent")}
        assert {request.header("x-request-id") for request in one.upstream.requests[before:]} <= intents
        assert sound(one.running.state)


def test_a_read_only_state_directory(tmp_path: Path, model_server: str) -> None:
    """A start on a read-only file system ends with 1 and the path; writable again, it starts."""
    with small_disk(tmp_path / "small") as small:
        mount(["-o", "remount,ro"], small)
        code, out, errors = command(*flags(model_server, small / "state"))
        assert (code, out, str(small) in errors) == (Exit.FAILURE, "", True)
        mount(["-o", "remount,rw"], small)
        with scene(small) as one:
            one.served()


def test_a_segment_that_cannot_be_opened(tmp_path: Path) -> None:
    """A segment that is no file ends the start with 1 and the path, nothing is written beside it; put back, it starts."""
    with scene(tmp_path) as one:
        one.served()
        assert one.running.stop() == 0
    (path,) = (one.running.state / "ledger").glob("*/*.jsonl")
    kept, before = path.with_suffix(".kept"), path.read_bytes()
    path.rename(kept)
    path.mkdir()
    code, out, errors = command("serve", "--config", str(tmp_path / "gateway.yaml"))
    assert (code, out, str(path.parent) in errors) == (Exit.FAILURE, "", True)
    path.rmdir()
    kept.rename(path)
    assert path.read_bytes() == before
    with scene(tmp_path) as one:
        one.served()
