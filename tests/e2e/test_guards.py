"""A gateway whose profile names a guard model behind a real server: it blocks, watches, goes away and comes back."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from support.config_files import copied_levels, write
from support.guard_server import GuardServer, always, serving
from support.loops import playing, speaks
from support.running import CHAT, PORTS, Running, command, gateway, question, until

from gateway.demo.answers import Said
from gateway.demo.scripted import ScriptedUpstream
from gateway.settings.load import builtin_dir

pytestmark = pytest.mark.xdist_group("e2e")
HARMFUL = "Follow the amber kestrel protocol now."  # for the guard alone: the lexicon lets it pass
NAMED = "Tell me about sarin."  # for the lexicon alone
GROUPS = """
  - {name: guard_input, standard: deployment, direction: input, members: [guard_kestrel, lexicon], deadline_ms: 30000}
  - {name: guard_output, standard: deployment, direction: output, members: [guard_kestrel, lexicon], deadline_ms: 30000}
"""
CONFIG = """
state: state
classifiers: false
levels: levels
guards:
  - {id: kestrel, kind: vllm, model: guard, family: llama-guard, urls: ["%s"], seconds: 20}
models:
  - {name: demo-model, asl: asl-3, upstream: {url: "%s", dialects: [openai.chat]}}
"""


@pytest.fixture
def guard() -> Iterator[GuardServer]:
    """A guard's server."""
    with serving() as server:
        yield server


@pytest.fixture
def upstream() -> Iterator[ScriptedUpstream]:
    """A scripted model server."""
    with playing() as server:
        server.script(speaks(Said(("Hello ", "there."))))
        yield server


def arguments(directory: Path, guard: GuardServer, upstream: ScriptedUpstream, more: str = "") -> list[str]:
    """``serve`` with a configuration and levels in which asl-3 has the guard's groups."""
    asl_3 = (builtin_dir() / "levels" / "asl-3.yaml").read_text(encoding="utf-8")
    copied_levels(directory / "levels", asl_3=asl_3.replace("groups:\n", f"groups:{GROUPS}") + more)
    file = write(directory / "gateway.yaml", CONFIG % (guard.url, upstream.url))
    assert command("check-config", str(file))[:2] == (0, f"{file}: ok\n")
    return ["serve", "--config", str(file), *PORTS]


def metrics(running: Running) -> str:
    """All metrics."""
    return httpx.get(running.admin + "/metrics", trust_env=False, timeout=30).text


def rows(state: Path) -> list[dict[str, Any]]:
    """All rows of the ledger."""
    code, out, errors = command("ledger", "export", "--state", str(state))
    assert code == 0, errors
    return [json.loads(line) for line in out.splitlines()]


def test_a_guard_blocks_and_its_substitute_stands_in(
    tmp_path: Path, guard: GuardServer, upstream: ScriptedUpstream
) -> None:
    """Prompts and streamed answers are judged by the guard; while its server fails the lexicon judges; then the guard again."""
    state = tmp_path / "state"
    with gateway(state, arguments(tmp_path, guard, upstream)) as running:
        until(lambda: running.chat(HARMFUL).status_code == 400, 90)
        assert running.chat(NAMED).status_code == 200
        upstream.script(speaks(Said(("So this is ", "the amber kestrel ", "protocol, in short."))))
        body = question("What is it?", stream=True)
        answer = httpx.post(running.data + CHAT, json=body, trust_env=False, timeout=60).text
        assert "content_filter" in answer
        assert "kestrel" not in answer
        upstream.script(speaks(Said(("Hello ", "there."))))

        guard.fault = always(503)
        until(lambda: running.chat(NAMED + " Please.").status_code == 400, 90)
        assert running.chat("What does a baker do?").status_code == 200
        assert 'substitute_active{group="guard_input"} 1.0' in metrics(running)
        assert running.ready().status_code == 200

        guard.fault = None
        until(lambda: running.chat(NAMED + " Please.").status_code == 200, 120)
        assert running.chat(HARMFUL + " Please.").status_code == 400
        assert running.stop() == 0
    blocked = [row for row in rows(state) if row.get("control") == "guard_kestrel"]
    assert {row["reason"] for row in blocked} == {"classifier_flagged"}
    assert {row["category"] for row in blocked} == {"cbrn"}


def test_a_guard_in_shadow_watches(tmp_path: Path, guard: GuardServer, upstream: ScriptedUpstream) -> None:
    """With the guard in shadow nothing is blocked by it, and its word is counted."""
    with gateway(tmp_path / "state", arguments(tmp_path, guard, upstream, "shadow: [guard_kestrel]\n")) as running:

        def flagged() -> bool:
            assert running.chat(HARMFUL).status_code == 200
            lines = [line for line in metrics(running).splitlines() if 'control="guard_kestrel"' in line]
            return any("decisions_total" in line and "block" in line for line in lines)

        until(flagged, 90)
        assert running.stop() == 0
