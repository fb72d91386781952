"""Exit codes, and the one way in which a command ends badly: a message with a next step on stderr."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from enum import IntEnum
from typing import Any, NoReturn

import typer


class Exit(IntEnum):
    """What the shell sees (docs/contract.md)."""

    OK = 0
    FAILURE = 1
    USAGE = 2
    CONFIG_INVALID = 3
    PERMISSION = 4
    NOT_CONVERGED = 5
    VERIFICATION_FAILED = 6


def say(message: str) -> None:
    """A message for a person, on stderr."""
    sys.stderr.write(message + "\n")


def fail(code: Exit, message: str, *, do: str = "") -> NoReturn:
    """End with a message and what to do next."""
    say(f"asl-gateway: {message}" + (f"\n  {do}" if do else ""))
    raise typer.Exit(code)


def document(data: Mapping[str, Any]) -> None:
    """Exactly one JSON document on stdout, keys sorted."""
    sys.stdout.write(json.dumps(data, sort_keys=True) + "\n")


def line(text: str = "") -> None:
    """A line of data on stdout."""
    sys.stdout.write(text + "\n")
