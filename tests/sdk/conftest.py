"""One model server and one gateway per level, each as an operator would start it; applications sit in front of them."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support.loops import playing
from support.running import Running, flags, gateway
from support.sdk.cases import CANARY, LEVELS

from gateway.demo.scripted import ScriptedUpstream

pytest.register_assert_rewrite("support.sdk.proof", "support.sdk.openai_calls", "support.sdk.anthropic_calls")
ROOT = Path(__file__).parents[2]
RULE = f"""rules:
  - {{id: canary, category: cbrn, direction: both, match: {{literal: "{CANARY}"}}, action: block, reason: "a test phrase"}}
"""


@pytest.fixture(scope="session")
def upstream() -> Iterator[ScriptedUpstream]:
    """A model server that plays what a case wants."""
    with playing() as server:
        yield server


Gateways = Callable[[int], Running]


@pytest.fixture(scope="session")
def gateways(upstream: ScriptedUpstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateways]:
    """The gateway of a level, with that level's controls; started when it is first asked for."""
    with _starting(upstream, tmp_path_factory.mktemp("sdk")) as found:
        yield found


@pytest.fixture(scope="session")
def crowded(upstream: ScriptedUpstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateways]:
    """The same by rules alone, which start fast; each serves one exchange at a time."""
    with _starting(upstream, tmp_path_factory.mktemp("crowded"), streams=1) as found:
        yield found


@contextlib.contextmanager
def _starting(upstream: ScriptedUpstream, folder: Path, *, streams: int | None = None) -> Iterator[Gateways]:
    (folder / "rules").mkdir()
    (folder / "rules" / "canary.yaml").write_text(RULE)
    environment = {"ASL_GATEWAY__LEVELS": str(_patient(folder / "levels"))}
    if streams is not None:
        environment["ASL_GATEWAY__LIMITS__STREAMS"] = str(streams)
    found: dict[int, Running] = {}
    with contextlib.ExitStack() as stack:

        def at(level: int) -> Running:
            if level not in found:
                given = flags(upstream.url, folder / f"asl-{level}", level)
                if streams is None:
                    given.remove("--no-classifiers")
                arguments = [*given, "--rules", str(folder / "rules")]
                found[level] = stack.enter_context(gateway(folder / f"asl-{level}", arguments, environment))
            return found[level]

        yield at


def _patient(folder: Path) -> Path:
    """The built-in levels with the longest deadlines: what is proven here does not depend on how loaded a machine is."""
    folder.mkdir()
    for profile in (ROOT / "config" / "levels").glob("*.yaml"):
        patient = re.sub(r"deadline_ms: [0-9]+", "deadline_ms: 60000", profile.read_text())
        (folder / profile.name).write_text(patient)
    return folder


@pytest.fixture(params=LEVELS, ids=lambda level: f"asl-{level}", scope="session")
def level(request: pytest.FixtureRequest) -> int:
    """Each level that serves."""
    return int(request.param)
