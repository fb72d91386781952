"""Configuration files for tests: written, checked, and their faults as short lines."""

from __future__ import annotations

import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gateway.settings.faults import ConfigInvalid, Fault
from gateway.settings.load import builtin_dir
from gateway.settings.model import ModelSettings, Settings, UpstreamSettings

SMALL = """
models:
  - {name: m, upstream: {url: "http://127.0.0.1:9"}, asl: 3}
"""


def write(path: Path, text: str) -> Path:
    """Write a file, its text freed of common indentation."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(textwrap.dedent(text), encoding="utf-8")
    return path


def faults_of(act: Callable[[], Any]) -> tuple[Fault, ...]:
    """The faults that an act raises."""
    with pytest.raises(ConfigInvalid) as caught:
        act()
    return caught.value.faults


def lines_of(act: Callable[[], Any]) -> list[str]:
    """Those faults, each as ``line:column key: message``."""
    return [f"{fault.line}:{fault.column} {fault.key}: {fault.message}" for fault in faults_of(act)]


def model(name: str = "m", *, asl: int = 3, aliases: tuple[str, ...] = ()) -> ModelSettings:
    """One served model."""
    return ModelSettings(name=name, aliases=aliases, asl=asl, upstream=UpstreamSettings(url="http://127.0.0.1:9"))


def settings(*models: ModelSettings, **others: Any) -> Settings:
    """Settings with these models."""
    return Settings(models=models or (model(),), **others)


def copied_levels(directory: Path, **changed: str) -> Path:
    """The built-in level files in another directory, some of them replaced (``asl_3="..."``)."""
    for asl in range(1, 6):
        builtin = (builtin_dir() / "levels" / f"asl-{asl}.yaml").read_text(encoding="utf-8")
        write(directory / f"asl-{asl}.yaml", changed.get(f"asl_{asl}", builtin))
    return directory
