"""The state directory: secrets and the registry of replicas."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from gateway.app.state_dir import REGISTRY, StateDirError, prepare, register, secret, unregister


def replicas(directory: Path) -> list[dict[str, object]]:
    """What is registered."""
    found: list[dict[str, object]] = json.loads((directory / REGISTRY).read_text())["replicas"]
    return found


def dead_pid() -> int:
    """The id of a process that has ended."""
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait()
    return process.pid


def test_the_directory_is_its_owners(tmp_path: Path) -> None:
    """Directory and ledger are made, for their owner only, and a second time nothing happens."""
    for _ in range(2):
        prepare(tmp_path / "a" / "b")
    for path in (tmp_path / "a" / "b", tmp_path / "a" / "b" / "ledger"):
        assert path.stat().st_mode & 0o777 == 0o700


def test_a_directory_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    """A file in the way is a StateDirError with the path."""
    (tmp_path / "file").write_text("")
    with pytest.raises(StateDirError, match="file"):
        prepare(tmp_path / "file")


def test_a_secret_is_made_once_for_its_owner(tmp_path: Path) -> None:
    """256 bits, mode 0600, the same for everybody who asks, and no temporary file stays."""
    made = secret(tmp_path / "s")
    assert len(bytes.fromhex(made)) == 32
    assert secret(tmp_path / "s") == made
    assert (tmp_path / "s").stat().st_mode & 0o777 == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["s"]


@pytest.mark.parametrize("content", ["", "short\n"])
def test_a_secret_that_is_none_is_refused(tmp_path: Path, content: str) -> None:
    """An empty or short file is not taken for a secret."""
    (tmp_path / "s").write_text(content)
    with pytest.raises(StateDirError, match="holds no secret"):
        secret(tmp_path / "s")


def test_a_secret_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    """A missing directory is a StateDirError."""
    with pytest.raises(StateDirError, match="No such file"):
        secret(tmp_path / "missing" / "s")


def test_replicas_come_and_go(tmp_path: Path) -> None:
    """Living replicas stay registered, dead ones and damaged registries go."""
    (tmp_path / REGISTRY).write_text("{damaged")
    me, living = {"pid": os.getpid(), "replica": "r2"}, {"pid": os.getppid(), "replica": "r1"}
    register(tmp_path, me)
    assert replicas(tmp_path) == [me]
    entries = [living, {"pid": dead_pid()}, {"pid": "nonsense"}, me]
    (tmp_path / REGISTRY).write_text(json.dumps({"replicas": entries}))
    register(tmp_path, {**me, "replica": "r3"})
    assert replicas(tmp_path) == [living, {**me, "replica": "r3"}]
    unregister(tmp_path, os.getpid())
    assert replicas(tmp_path) == [living]


def test_another_users_process_is_alive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that may not be signalled lives."""

    def refuse(*_: int) -> None:
        raise PermissionError

    (tmp_path / REGISTRY).write_text('{"replicas":[{"pid":1}]}')
    monkeypatch.setattr(os, "kill", refuse)
    unregister(tmp_path, os.getpid())
    assert replicas(tmp_path) == [{"pid": 1}]


def test_many_at_once_lose_nothing(tmp_path: Path) -> None:
    """Replicas that start at the same time are all registered, and read one secret."""
    program = (
        "import sys, pathlib; from gateway.app.state_dir import register, secret; d = pathlib.Path(sys.argv[1]);"
        "secret(d / 's'); register(d, {'pid': int(sys.argv[2])})"
    )
    living = [os.getpid(), os.getppid()]

    def run(pid: int) -> None:
        subprocess.run([sys.executable, "-c", program, str(tmp_path), str(pid)], check=True, timeout=30)

    with ThreadPoolExecutor() as pool:
        list(pool.map(run, living))
    assert {entry["pid"] for entry in replicas(tmp_path)} == set(living)
    assert len(secret(tmp_path / "s")) == 64
