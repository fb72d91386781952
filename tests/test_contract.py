"""docs/contract.md is golden: every JSON example on it has exactly the keys and kinds of values that a running gateway prints."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from support.canary import CANARY
from support.running import Running, command, flags, gateway, until

from gateway.metrics import PREFIX, SPECS, Result

PAGE = (Path(__file__).parent.parent / "docs" / "contract.md").read_text()
HEADLESS = {"kind", "replica", "boot", "seq", "time_ms", "prev", "hash", "v"}


def examples() -> list[str]:
    """Every JSON example, in the order of the page."""
    found = re.finditer(r"```json\n(.*?)\n```|`(\{\".*?\})`", PAGE, re.DOTALL)
    return [match[1] or match[2] for match in found]


@dataclass(frozen=True, slots=True)
class Scene:
    """A gateway on which everything on the page has happened, and what came back."""

    running: Running
    seen: dict[str, Any]

    def rows(self, kind: str, **fields: object) -> dict[str, Any]:
        """The first ledger row of a kind with these fields."""
        _, out, _ = command("ledger", "export", "--state", str(self.running.state))
        rows = [json.loads(line) for line in out.splitlines()]
        found: dict[str, Any] = next(
            row for row in rows if row["kind"] == kind and all(row.get(key) == value for key, value in fields.items())
        )
        return found


def cli(state: Path, *arguments: str, code: int = 0, given: str = "") -> Any:
    """The one JSON document of a command."""
    done = command(*arguments, "--json", environment={"ASL_GATEWAY_STATE": str(state)}, given=given)
    assert done[0] == code, done[2]
    assert done[1].count("\n") == 1
    return json.loads(done[1])


@pytest.fixture(scope="module")
def scene(model_server: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """Everything once."""
    directory = tmp_path_factory.mktemp("contract")
    (directory / "gateway.yaml").write_text("limits:\n  bdy: 1MiB\n")
    (directory / "benign.txt").write_text("How do I bake bread?\nWrite a poem about rain.\n")
    texts = ("--benign", str(directory / "benign.txt"), "--harmful", str(directory / "benign.txt"))
    state = directory / "state"
    with gateway(state, flags(model_server, state)) as running:
        rule = ("--id", "rr-1", "--literal", CANARY, "--expires", "2099-05-01", "--reason", "reported jailbreak")
        seen = {
            "check": cli(state, "check-config", str(directory / "gateway.yaml"), code=3),
            "calibrate": cli(state, "calibrate", *texts, "--share", "0.5"),
            "raise": cli(state, "level", "raise", "demo-model", "asl-5", "--reason", "incident 12", "--owner", "o"),
            "show": cli(state, "level", "show"),
            "registry": json.loads((state / "admin.json").read_text()),
            "released": cli(state, "level", "release", "demo-model", "--reason", "all clear"),
            "rule": cli(state, "rules", "add", *rule),
            "rules": cli(state, "rules", "list"),
            "screen": cli(state, "screen", given=CANARY),
            "removed": running.api("DELETE", "/rules/rr-1").json(),
            "version": cli(state, "--version"),
            "problem": running.api("GET", "/models/x").json(),
            "livez": httpx.get(running.admin + "/livez", trust_env=False).json(),
            "readyz": running.ready().json(),
        }
        decision = running.chat(stream=True).headers["x-asl-decision-id"]
        httpx.get(running.data + "/nowhere", trust_env=False)
        until(lambda: "unknown_route" in command("ledger", "export", "--state", str(state))[1])
        seen["decision"] = cli(state, "ledger", "show", decision)
        seen["verify"] = cli(state, "ledger", "verify")
        seen["prune"] = cli(state, "ledger", "prune", "--dry-run")
        yield Scene(running, seen)


def fault_of(scene: Scene) -> Any:
    """What verification says of an edited chain."""
    (path,) = (scene.running.state / "ledger").glob("*/*.jsonl")
    copy = scene.running.state.parent / "edited"
    (copy / "ledger" / path.parent.name).mkdir(parents=True, exist_ok=True)
    (copy / "gateway.db").write_bytes((scene.running.state / "gateway.db").read_bytes())
    (copy / "ledger" / path.parent.name / path.name).write_bytes(path.read_bytes().replace(b'"v":1', b'"v":2', 1))
    return cli(copy, "ledger", "verify", code=6)["chains"][0]["faults"][0]


def posted(path: str, body: dict[str, Any]) -> Callable[[Scene], Any]:
    """A body as the page gives it is taken: the answer is not about its shape."""

    def send(scene: Scene) -> Any:
        answer = scene.running.api("DELETE" if "clear" in str(body) else "POST", path, json=body)
        assert answer.status_code not in {400, 404, 405, 422}, answer.text
        if path == "/rules":
            scene.running.api("DELETE", f"/rules/{body['id']}")
        return body

    return send


BRAKES = "/models/demo-model/brakes"
RULE = {
    "id": "rr-2",
    "category": "cbrn",
    "direction": "both",
    "match": {"literal": CANARY},
    "action": "block",
    "expires": "2099-01-01",
    "reason": "r",
}

# What produces the thing of which the page shows an example; by the example's beginning, in the order of the page.
PRODUCERS: tuple[tuple[str, Callable[[Scene], Any]], ...] = (
    ('{"event":"listening"', lambda scene: scene.running.line),
    ('{"replicas":', lambda scene: scene.seen["registry"]),
    ('{"faults":[{"column"', lambda scene: scene.seen["check"]),
    ('{"category":"cbrn","control":"input_screen"', lambda scene: scene.seen["calibrate"]),
    ('{"models":[', lambda scene: scene.seen["show"]),
    ('{"converged":', lambda scene: scene.seen["raise"]),
    ('{"expected_hits"', lambda scene: scene.seen["rule"]),
    ('{"policy":"sha256:…","rules"', lambda scene: scene.seen["rules"]),
    ('{"chains":', lambda scene: scene.seen["verify"]),
    ('{"file":…', fault_of),
    ('{"rows":', lambda scene: scene.seen["decision"]),
    ('{"chains":[{"faults":[],"replica"', lambda scene: scene.seen["prune"]),
    ('{"decision_id"', lambda scene: scene.seen["screen"]),
    ('{"data":…', lambda _: None),  # held by tests/gateway/cli/test_demo.py, which runs the demo
    ('{"build"', lambda scene: scene.seen["version"]),
    ('{"asl":"asl-3","boot":"0f3a","caller":"anonymous","controls"', lambda scene: scene.seen["decision"]["rows"][0]),
    ('{"asl":"asl-3","boot":"0f3a","caller":"anonymous","category"', lambda scene: scene.seen["decision"]["rows"][1]),
    ('{"count"', lambda scene: scene.rows("refusals")),
    ('{"act":"raise"', lambda scene: scene.rows("change", act="raise")),
    ('{"kind":"policy"', lambda scene: scene.rows("policy")),
    ('{"code"', lambda scene: scene.seen["problem"]),
    ('{"level":"asl-5","owner"', posted(BRAKES, {"level": "asl-5", "owner": "operator", "reason": "incident 12"})),
    ('{"owner"', posted(BRAKES, {"owner": "operator", "reason": "all clear"})),
    ('{"id":…', posted("/rules", RULE)),
    ('{"policy":…', lambda scene: scene.seen["removed"]),
    ('{"model":"demo-model","text"', posted("/screen", {"model": "demo-model", "text": "…"})),
    ('{"status"', lambda scene: scene.seen["livez"]),
    ('{"ready"', lambda scene: scene.seen["readyz"]),
)


def parsed(example: str) -> tuple[Any, bool]:
    """The example with None for what it leaves out, and whether it leaves out the keys of every row."""
    partial = example.endswith(",…}")
    text = example.replace(",…}", "}").replace(":…", ":null").replace("[…]", "[]").replace("{…}", "{}")
    return json.loads(text), partial


def same(expected: Any, found: Any, where: str = "") -> None:
    """Both have the same keys, and values of the same kind, all the way down; None and empty lists stand for anything."""
    if expected is None or expected == {}:
        return
    assert type(expected) is type(found), where
    if isinstance(expected, dict):
        assert expected.keys() == found.keys(), where
        for key, value in expected.items():
            same(value, found[key], f"{where}.{key}")
    elif isinstance(expected, list) and expected and found:
        for one in found:
            same(expected[0], one, f"{where}[]")


def test_every_example_has_its_producer() -> None:
    """No example is on the page without being held here, and none is held twice."""
    for example, (beginning, _) in zip(examples(), PRODUCERS, strict=True):
        assert example.startswith(beginning)


@pytest.mark.parametrize("number", range(len(PRODUCERS)), ids=[beginning[:24] for beginning, _ in PRODUCERS])
def test_examples_are_what_a_gateway_prints(scene: Scene, number: int) -> None:
    """Keys and kinds of values are the same in the example and in real output."""
    beginning, produce = PRODUCERS[number]
    if (found := produce(scene)) is None:
        assert "tour" in examples()[number], beginning
        return
    expected, partial = parsed(examples()[number])
    if partial:
        found = {key: value for key, value in found.items() if key in expected or key not in HEADLESS}
    same(expected, found, beginning)


def test_rows_have_the_keys_of_every_row(scene: Scene) -> None:
    """What the table says of every row is so, and rows are canonical: sorted keys, no blanks."""
    _, out, _ = command("ledger", "export", "--state", str(scene.running.state))
    for line in out.splitlines():
        row = json.loads(line)
        assert row.keys() >= HEADLESS
        assert line == json.dumps(row, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def test_the_release_and_the_show_lists_are_not_empty(scene: Scene) -> None:
    """The comparison above saw brakes, rules, verdicts, chains and faults, not empty lists."""
    assert scene.seen["show"]["models"][0]["brakes"]
    assert scene.seen["rules"]["rules"]
    assert scene.seen["screen"]["verdicts"]
    assert scene.seen["verify"]["chains"]
    assert scene.seen["check"]["faults"]
    assert scene.seen["released"]["unattested"] is True


def test_the_metrics_of_the_page_are_those_of_the_code() -> None:
    """Names, types and labels of the table and of metrics.SPECS are the same, in the same order."""
    table = re.findall(r"^\| `(\w+)` \| (counter|gauge|histogram) \| ([\w, ]*?) *\|$", PAGE, re.MULTILINE)
    specs = [(spec.name, spec.kind.__name__.lower(), ", ".join(spec.labels)) for spec in SPECS]
    assert [(name, kind, labels.strip()) for name, kind, labels in table] == specs


def test_the_outcomes_of_the_page_are_those_of_the_code() -> None:
    """The closed set of outcome values is the same on the page and in the code."""
    section = PAGE.split("### `outcome` values")[1].split("## Admin API")[0]
    assert re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE) == [result.value for result in Result]


def test_every_exported_metric_is_on_the_page(scene: Scene) -> None:
    """/metrics shows no name of ours that the page does not have, and the example's series is one of them."""
    text = httpx.get(scene.running.admin + "/metrics", trust_env=False).text
    names = set(re.findall(r"^# TYPE (\S+) ", text, re.MULTILINE))
    known = {PREFIX + spec.name for spec in SPECS}
    ours = {name.removesuffix("_created") for name in names if name.startswith(PREFIX)}
    assert ours <= known | {name.removesuffix("_total") for name in known}
    assert re.search(
        r'^asl_gateway_requests_total\{asl="3",dialect="openai.chat",model="demo-model",outcome="served"\} 1.0$',
        text,
        re.MULTILINE,
    )
