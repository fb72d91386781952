"""Puts ``tests/`` on the path, so that shared helpers are importable as ``support.x``; processes that many tests share."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

sys.path.insert(0, str(Path(__file__).parent))

if TYPE_CHECKING:
    from support.running import Running


@pytest.fixture(scope="session")
def model_server() -> Iterator[str]:
    """The URL of a scripted model server, in a process of its own."""
    from support.running import scripted

    with scripted() as url:
        yield url


@pytest.fixture(scope="session")
def shared(model_server: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A running gateway, judging by rules alone. Whoever changes its policy changes it back."""
    from support.running import flags, gateway

    state = tmp_path_factory.mktemp("shared") / "state"
    with gateway(state, flags(model_server, state)) as running:
        yield running
