"""The state directory: secrets with their permissions, and ``admin.json``, by which the command line finds running gateways."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import secrets
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

TOKEN = "operator.token"  # noqa: S105  # a file's name
METRICS_TOKEN = "metrics.token"  # noqa: S105  # a file's name
DIGEST_KEY = "digest.key"
REGISTRY = "admin.json"


class StateDirError(Exception):
    """The state directory cannot be used; the message names the path."""


def prepare(directory: Path) -> None:
    """Make the directory, for its owner only. Raises StateDirError."""
    try:
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        (directory / "ledger").mkdir(exist_ok=True, mode=0o700)
    except OSError as error:
        raise StateDirError(f"{directory}: {error.strerror}") from error


def secret(path: Path) -> str:
    """256 random bits in hexadecimal, made once, readable for the owner only. Raises StateDirError."""
    try:
        with contextlib.suppress(FileExistsError):
            temporary = path.with_name(f".{path.name}.{os.getpid()}")
            with os.fdopen(os.open(temporary, os.O_CREAT | os.O_TRUNC | os.O_WRONLY, 0o600), "w") as file:
                file.write(secrets.token_hex(32) + "\n")
            try:
                os.link(temporary, path)  # atomic, and never over another process's secret
            finally:
                temporary.unlink()
        text = path.read_text().strip()
    except OSError as error:
        raise StateDirError(f"{path}: {error.strerror}") from error
    if len(text) < 32:
        raise StateDirError(f"{path}: holds no secret; remove it to have a new one made")
    return text


def register(directory: Path, entry: dict[str, Any]) -> None:
    """Add this replica to ``admin.json``; entries of dead processes go."""
    _edit(directory, lambda replicas: [*replicas, entry])


def unregister(directory: Path, pid: int) -> None:
    """Take this replica out."""
    _edit(directory, lambda replicas: [found for found in replicas if found["pid"] != pid])


def _edit(directory: Path, change: Callable[[list[dict[str, Any]]], list[dict[str, Any]]]) -> None:
    path = directory / REGISTRY
    with _locked(directory / f".{REGISTRY}.lock"):
        try:
            replicas = json.loads(path.read_text())["replicas"]
        except (OSError, ValueError, KeyError):
            replicas = []  # a convenience for the command line, rebuilt by whoever runs
        living = [found for found in replicas if found.get("pid") != os.getpid() and _lives(found.get("pid"))]
        temporary = path.with_name(f".{REGISTRY}.{os.getpid()}")
        temporary.write_text(json.dumps({"replicas": change(living)}, sort_keys=True) + "\n")
        temporary.replace(path)


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    descriptor = os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _lives(pid: object) -> bool:
    if not isinstance(pid, int):
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
