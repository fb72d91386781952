"""A reload that must not happen: the old configuration serves on, the refusal is logged, and the next good one is taken."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from support.canary import CANARY
from support.faulting import Scene, scene
from support.running import command, until

from gateway.cli.exits import Exit


@pytest.fixture(scope="module")
def one(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """One gateway for all these faults; each test leaves it with its own file."""
    with scene(tmp_path_factory.mktemp("config")) as made:
        yield made


def file(one: Scene) -> Path:
    """The configuration file of the gateway."""
    return one.running.state.parent / "gateway.yaml"


def digest(one: Scene) -> str:
    """The policy in force."""
    return str(one.running.api("GET", "/models").json()["policy"])


def changed(**keys: Any) -> Callable[[str], str]:
    """The file with the model changed."""

    def edit(text: str) -> str:
        data = json.loads(text)
        data["models"][0] |= keys
        return json.dumps(data)

    return edit


SPOILT: dict[str, Callable[[str], str]] = {
    "empty": lambda _: "",
    "only_a_comment": lambda _: "# nothing here\n",
    "half_written": lambda text: text[: len(text) // 2],
    "not_yaml": lambda text: text + "\n]",
    "binary": lambda text: text[:40] + "\0\1\2",
    "unknown_key": lambda text: text.replace('"listen"', '"lisen"', 1),
    "duplicate_key": lambda text: text.replace('"state"', '"state": "elsewhere",\n"state"', 1),
    "asl_6": changed(asl=6),
    "asl_0": changed(asl=0),
    "asl_as_text": changed(asl="3"),
    "asl_as_fraction": changed(asl=3.5),
    "lower_level": changed(asl=2),
    "no_models": lambda text: json.dumps(json.loads(text) | {"models": []}),
    "upstream_not_http": changed(upstream={"url": "ftp://127.0.0.1"}),
    "missing_secret": changed(upstream={"url": "http://127.0.0.1:9", "key": {"env": "NOT_SET_ANYWHERE"}}),
    "missing_rules": lambda text: json.dumps(json.loads(text) | {"rules": "nowhere"}),
}


@pytest.mark.parametrize("case", SPOILT)
def test_a_spoilt_file_changes_nothing(one: Scene, case: str) -> None:
    """SIGHUP with it is refused and logged; level, rules and policy stay; served meanwhile; and the mended file is taken."""
    path, good, before = file(one), file(one).read_text(), digest(one)
    refused, taken = one.running.log().count("reload_refused"), one.running.log().count('"reloaded"')
    path.write_text(SPOILT[case](good))
    one.running.process.send_signal(signal.SIGHUP)
    until(lambda: one.running.log().count("reload_refused") == refused + 1)
    assert digest(one) == before
    assert one.running.chat(CANARY).status_code == 400
    one.served()
    path.write_text(good)
    one.running.process.send_signal(signal.SIGHUP)
    until(lambda: one.running.log().count('"reloaded"') == taken + 1)
    assert digest(one) == before
    one.served()


def test_a_file_that_is_gone_changes_nothing(one: Scene) -> None:
    """SIGHUP while the file is away, as in the middle of its replacement, is refused."""
    path, before = file(one), digest(one)
    away, refused = path.with_suffix(".away"), one.running.log().count("reload_refused")
    path.rename(away)
    one.running.process.send_signal(signal.SIGHUP)
    until(lambda: one.running.log().count("reload_refused") == refused + 1)
    assert digest(one) == before
    away.rename(path)
    one.served()


RULES = {
    "half_written": lambda text: text[: len(text) // 2],
    "unknown_key": lambda text: text.replace('"reason"', '"reson"'),
    "bad_pattern": lambda text: text.replace('"literal"', '"pattern"').replace(CANARY, "a("),
    "unknown_action": lambda text: text.replace('"block"', '"pass"'),
}


@pytest.mark.parametrize("case", RULES)
def test_spoilt_rules_change_nothing(one: Scene, case: str) -> None:
    """A rules file that cannot be used is refused whole: the rules in force still block."""
    path, before = file(one).parent / "rules" / "canary.yaml", digest(one)
    good, refused = path.read_text(), one.running.log().count("reload_refused")
    path.write_text(RULES[case](good))
    one.running.process.send_signal(signal.SIGHUP)
    try:
        until(lambda: one.running.log().count("reload_refused") == refused + 1)
    finally:
        path.write_text(good)
    assert digest(one) == before
    assert one.running.chat(CANARY).status_code == 400
    one.served()


def test_no_cut_of_a_file_starts(one: Scene, tmp_path: Path) -> None:
    """A file cut at any of its lines is a fault for ``check-config`` too: exit 3, never a smaller configuration."""
    lines = file(one).read_text().splitlines(keepends=True)
    path = tmp_path / "cut.yaml"
    for end in (1, len(lines) // 2, len(lines) - 1):
        path.write_text("".join(lines[:end]))
        assert command("check-config", str(path))[0] == Exit.CONFIG_INVALID
