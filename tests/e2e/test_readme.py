"""Every command and every line of code that the README shows is run as it stands; only addresses and folders are exchanged."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import anthropic
import openai
import pytest
from support.running import PORTS, SECONDS, Running, command, gateway, scripted

ROOT = Path(__file__).parent.parent.parent
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```", (ROOT / "README.md").read_text(), re.MULTILINE | re.DOTALL)
UPSTREAM = "http://127.0.0.1:8000"


def lines(language: str) -> list[str]:
    """The lines of all code blocks of a language, with continued lines joined and comments cut."""
    text = "\n".join(block for kind, block in BLOCKS if kind == language)
    found = [line.partition("  #")[0].strip() for line in text.replace("\\\n", " ").splitlines()]
    return [line for line in found if line]


SHELL = [line for line in lines("") if "─▶" not in line and "◀─" not in line and not line.startswith(("│", "└"))]
OURS = [line for line in SHELL if line.startswith("asl-gateway ")]


@contextlib.contextmanager
def served(folder: Path) -> Iterator[Running]:
    """What the README's ``serve`` starts, on free ports."""
    (line,) = [line for line in OURS if line.startswith("asl-gateway serve --upstream")]
    with scripted() as url:
        given = shlex.split(line.replace(UPSTREAM, url))[1:]
        assert url in given
        with gateway(folder / "state", [*given, *PORTS, "--state", str(folder / "state")]) as running:
            yield running


def test_the_readme_shows_nothing_but_what_is_tried_here() -> None:
    """A kind of line that no test knows is a line that nobody has tried."""
    known = ("asl-gateway ", "make ", "docker ")
    assert [line for line in SHELL if not line.startswith(known)] == []
    assert len(OURS) >= 8
    assert {kind for kind, _ in BLOCKS} <= {"", "python"}


@pytest.mark.parametrize("line", [line for line in SHELL if line.startswith("make ")])
def test_make_knows_its_targets(line: str) -> None:
    """Each target that the README names exists; what they do is tried by CI itself and by the demo's tests."""
    done = subprocess.run([*shlex.split(line), "-n"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_operators_commands_in_their_order(tmp_path: Path) -> None:
    """Raise, release, a rule, a text screened, the ledger verified, a configuration checked: all as written, all exit 0."""
    shutil.copytree(ROOT / "config", tmp_path, dirs_exist_ok=True)
    (tmp_path / "prompt.txt").write_text("How do boats come back with the tide?")
    traffic = [json.dumps({"text": f"When does boat number {i} come back?"}) for i in range(100)]
    (tmp_path / "traffic.jsonl").write_text("\n".join(traffic))
    (tmp_path / "gateway.yaml").write_text((ROOT / "config" / "gateway.yaml").read_text())
    with served(tmp_path) as running:
        environment = {"ASL_GATEWAY_STATE": str(running.state), "UPSTREAM_KEY": "k"}
        for line in OURS:
            words = shlex.split(line)[1:]
            if words[0] == "serve":
                continue
            here = [str(tmp_path / word) if (tmp_path / word).is_file() else word for word in words]
            code, out, err = command(*here, environment=environment)
            assert code == 0, (line, out, err)


def test_the_clients_lines(tmp_path: Path) -> None:
    """Both SDKs take the base URL as the README says, and get an answer."""
    (code,) = [block for kind, block in BLOCKS if kind == "python"]
    with served(tmp_path) as running:
        for line in code.strip().splitlines():
            names = {"openai": openai, "anthropic": anthropic}
            exec(line.replace("http://127.0.0.1:8080", running.data), names)
            client = names["client"]
            if isinstance(client, openai.OpenAI):
                chat = client.chat.completions.create(model="my-model", messages=[{"role": "user", "content": "Hi."}])
                assert chat.choices[0].message.content
            else:
                assert isinstance(client, anthropic.Anthropic)
                assert client.models.list().data[0].id == "my-model"
            client.close()


def test_what_the_container_would_run(tmp_path: Path) -> None:
    """The arguments behind the image's name are ones that the command takes, from an environment without anything of ours."""
    (line,) = [line for line in SHELL if line.startswith("docker run")]
    words = shlex.split(line)
    given = words[words.index("asl-gateway") + 1 :]
    assert given[0] == "serve"
    with scripted() as url:
        here = {"http://host.docker.internal:8000": url, "0.0.0.0:8080": "127.0.0.1:0", "/state": str(tmp_path / "s")}
        arguments = [here.get(word, word) for word in given]
        with gateway(tmp_path / "s", [*arguments, "--admin-listen", "127.0.0.1:0"]) as running:
            assert running.ready().status_code == 200


def test_help_of_every_command_named() -> None:
    """``--help`` of each command exits 0 and shows an example or its arguments."""
    for name in sorted({shlex.split(line)[1] for line in OURS}):
        done = subprocess.run(
            [sys.executable, "-m", "gateway", name, "--help"],
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
            env={**os.environ, "COLUMNS": "120"},
        )
        assert done.returncode == 0
        assert "Usage" in done.stdout
