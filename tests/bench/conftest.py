"""Puts the repository on the path, so that ``loadtests`` is importable, and compiles the bench's programs once."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

sys.path.insert(0, str(Path(__file__).parents[2]))

if TYPE_CHECKING:
    from loadtests.bench.matter import Matter
    from loadtests.bench.tools import Tools


@pytest.fixture(scope="session")
def matter(tmp_path_factory: pytest.TempPathFactory) -> Matter:
    """Prompts, tokens and rules on disk."""
    from loadtests.bench.matter import write

    return write(tmp_path_factory.mktemp("matter"))


@pytest.fixture(scope="session")
def tools(tmp_path_factory: pytest.TempPathFactory) -> Tools:
    """Both programs, compiled here."""
    from loadtests.bench.tools import compiled

    return compiled(tmp_path_factory.mktemp("tools"))


@pytest.fixture
def upstream(tools: Tools, matter: Matter) -> Iterator[int]:
    """The port of a scripted model server of its own."""
    from loadtests.bench.tools import upstream as started

    with started(tools, matter.tokens, -1) as port:
        yield port
