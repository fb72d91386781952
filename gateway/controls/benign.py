"""Harmless sentences of our own writing, many of them on the subjects that rules are written against."""

from __future__ import annotations

from importlib import resources


def benign() -> tuple[str, ...]:
    """The sentences of ``benign.txt``, one a line."""
    lines = resources.files("gateway.controls").joinpath("benign.txt").read_text(encoding="utf-8").splitlines()
    return tuple(line for line in lines if line.strip())
