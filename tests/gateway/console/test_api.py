"""The admin API over real sockets: who may speak, what is answered, and how faults look."""

from __future__ import annotations

import gzip
import json
import re
import stat
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from starlette.requests import Request
from support.canary import CANARY
from support.running import Running

from gateway.app.readiness import Readiness
from gateway.console import api as module
from gateway.console.api import Api, Desk, admin_app
from gateway.console.problems import Problem
from gateway.controls.matching import RuleError
from gateway.ledger.base import LedgerError
from gateway.ledger.segments import packed, segment
from gateway.metrics import PREFIX, SPECS, metrics
from gateway.policy.changes import ChangeRefused
from gateway.settings.faults import ConfigInvalid
from gateway.state.base import StoreError
from gateway.terms import Level

Call = Callable[..., httpx.Response]
BRAKES = "/models/demo-model/brakes"
RAISE = {"level": "asl-4", "owner": "tester", "reason": "r"}
RULE = {"id": "rr-1", "category": "cbrn", "match": {"literal": CANARY}, "reason": "r"}
PATHS = (
    ("GET", "/models"),
    ("GET", "/models/demo-model"),
    ("POST", BRAKES),
    ("DELETE", BRAKES),
    ("GET", "/rules"),
    ("POST", "/rules"),
    ("DELETE", "/rules/rr-1"),
    ("POST", "/screen"),
    ("GET", "/decisions/d-1"),
    ("GET", "/openapi.json"),
)


def is_problem(answer: httpx.Response, status: int, code: str) -> None:
    """The answer is an RFC 9457 problem of this status and code."""
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")
    body = answer.json()
    assert set(body) == {"type", "title", "status", "code", "detail"}
    assert (body["type"], body["status"], body["code"]) == ("about:blank", status, code)
    assert body["detail"]


@pytest.mark.parametrize(("method", "path"), PATHS)
@pytest.mark.parametrize("header", [None, "", "Bearer", "Bearer wrong", "Basic {token}", "Bearer {token}x", "{token}"])
def test_every_resource_wants_the_token(shared: Running, method: str, path: str, header: str | None) -> None:
    """Reads too are refused without the operator's token, in every wrong form of it."""
    headers = {} if header is None else {"authorization": header.format(token=shared.token)}
    answer = httpx.request(method, f"{shared.admin}/api/v1{path}", headers=headers, trust_env=False)
    is_problem(answer, 401, "token_required")
    assert answer.headers["www-authenticate"] == "Bearer"


@pytest.mark.parametrize("origin", ["http://evil.test", "null", "http://127.0.0.1:8081"])
def test_browsers_are_refused(call: Call, origin: str) -> None:
    """A request with an Origin is refused even with the token."""
    is_problem(call("GET", "/models", headers={"origin": origin}), 403, "origin_refused")


def test_another_host_is_refused(call: Call) -> None:
    """A name that is not the listener's own is refused before anything is read."""
    assert call("GET", "/models", headers={"host": "evil.test"}).status_code == 421


def test_health_and_metrics_want_no_token(shared: Running) -> None:
    """Probes and scrapers come without a token."""
    answers = {path: httpx.get(shared.admin + path, trust_env=False) for path in ("/livez", "/readyz", "/metrics")}
    assert {answer.status_code for answer in answers.values()} == {200}
    assert answers["/livez"].json() == {"status": "ok"}
    assert answers["/readyz"].json() == {"ready": True, "reasons": []}
    names = re.findall(r"^# TYPE (\S+) ", answers["/metrics"].text, re.MULTILINE)
    known = {PREFIX + spec.name for spec in SPECS}
    for name in (name for name in names if name.startswith(PREFIX)):
        assert name.removesuffix("_created") in known | {one.removesuffix("_total") for one in known}


def test_models_are_found_by_each_of_their_names(call: Call) -> None:
    """Name and alias lead to the same model, with the revision as ETag; others to a problem."""
    by_name, by_alias = call("GET", "/models/demo-model"), call("GET", "/models/demo")
    assert by_name.json() == by_alias.json() == call("GET", "/models").json()["models"][0]
    assert re.fullmatch(r'"\d+"', by_name.headers["etag"])
    is_problem(call("GET", "/models/x"), 404, "unknown_model")
    is_problem(call("POST", "/models/x/brakes", json=RAISE), 404, "unknown_model")


def test_a_write_that_saw_an_older_policy_is_refused(call: Call) -> None:
    """If-Match holds a change to what was looked at; the current revision and * pass."""
    etag = call("GET", "/models").headers["etag"]
    raised = call("POST", BRAKES, json=RAISE, headers={"if-match": etag})
    assert (raised.status_code, raised.headers["etag"]) == (201, f'"{raised.json()["revision"]}"')
    for method, path, body in (
        ("POST", BRAKES, {**RAISE, "level": "asl-5"}),
        ("DELETE", BRAKES, {"owner": "o", "reason": "r"}),
        ("POST", "/rules", RULE),
        ("DELETE", "/rules/rr-1", None),
    ):
        is_problem(call(method, path, json=body, headers={"if-match": etag}), 412, "revision_changed")
    assert call("DELETE", BRAKES, json={"owner": "o", "reason": "r"}, headers={"if-match": "*"}).status_code == 200


def test_of_two_writers_who_saw_the_same_one_wins(call: Call) -> None:
    """Changes at the same time with the same If-Match: exactly one is done."""
    etag = call("GET", "/models").headers["etag"]

    def add(number: int) -> int:
        rule = {**RULE, "id": f"rr-{number}"}
        return call("POST", "/rules", json=rule, headers={"if-match": etag}).status_code

    with ThreadPoolExecutor(6) as pool:
        assert sorted(pool.map(add, range(6))) == [201] + [412] * 5


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "code"),
    [
        ("POST", BRAKES, {**RAISE, "level": "asl-3"}, 409, "not_a_raise"),
        ("POST", BRAKES, {**RAISE, "level": "asl-6"}, 422, "invalid_level"),
        ("POST", BRAKES, {**RAISE, "level": 5}, 422, "invalid_level"),
        ("POST", BRAKES, {**RAISE, "reason": ""}, 422, "reason_required"),
        ("POST", BRAKES, {"level": "asl-5"}, 422, "reason_required"),
        ("POST", BRAKES, {**RAISE, "more": 1}, 422, "invalid_body"),
        ("POST", BRAKES, [], 422, "invalid_body"),
        ("DELETE", BRAKES, {"owner": "o", "reason": "r"}, 409, "no_open_brake"),
        ("POST", "/rules", {**RULE, "id": "../x"}, 422, "rule_invalid"),
        ("POST", "/rules", {**RULE, "match": {"pattern": "(a"}}, 422, "rule_invalid"),
        ("POST", "/rules", {**RULE, "match": {}}, 422, "rule_invalid"),
        ("POST", "/rules", [1], 422, "rule_invalid"),
        ("DELETE", "/rules/rr-9", None, 404, "unknown_rule"),
        ("POST", "/screen", {"text": 3}, 422, "invalid_body"),
        ("POST", "/screen", {"text": "x", "model": 3}, 422, "invalid_body"),
        ("POST", "/screen", {"text": "x", "model": "y"}, 404, "unknown_model"),
        ("GET", "/decisions/d-0", None, 404, "unknown_decision"),
        ("GET", "/nothing", None, 404, "unknown_route"),
        ("PUT", "/models", None, 405, "method_not_allowed"),
    ],
)
def test_faults_are_problems(call: Call, method: str, path: str, body: Any, status: int, code: str) -> None:
    """Every refusal has its status and a stable code."""
    is_problem(call(method, path, json=body), status, code)


@pytest.mark.parametrize("content", [b"", b"{", b"\xff", b"[" * 100_000])
def test_what_is_not_json_is_refused(call: Call, content: bytes) -> None:
    """Empty, cut, undecodable and bottomless bodies are a 400, not a fault of ours."""
    is_problem(call("POST", "/screen", content=content), 400, "invalid_json")


def test_a_body_has_its_limit(call: Call) -> None:
    """One byte more than the limit is refused."""
    is_problem(call("POST", "/screen", content=b" " * (module.MAX_BODY + 1)), 413, "body_too_large")


def test_a_rule_comes_and_goes(call: Call) -> None:
    """201 with its published form, listed, refused a second time, removed."""
    added = call("POST", "/rules", json=RULE)
    assert added.status_code == 201
    assert added.json()["rule"] == {**RULE, "direction": "both", "action": "block", "source": "added"}
    assert call("GET", "/rules").json()["rules"] == [added.json()["rule"]]
    is_problem(call("POST", "/rules", json=RULE), 409, "rule_exists")
    assert set(call("DELETE", "/rules/rr-1").json()) == {"policy", "revision"}


def test_a_decision_is_shown(call: Call, shared: Running) -> None:
    """The rows of an exchange are there by its id."""
    decision = shared.chat().headers["x-asl-decision-id"]
    assert [row["kind"] for row in call("GET", f"/decisions/{decision}").json()["rows"]] == ["intent", "outcome"]


# Faults that a healthy gateway does not show: handlers in this process.


def desk(**more: Any) -> Desk:
    """A desk of which only what is given works."""
    nothing: Any = SimpleNamespace()
    parts = {"keeper": nothing, "metrics": nothing, "clock": nothing, "screener": nothing, "ledger_root": nothing}
    return Desk(**{**parts, "readiness": Readiness(), "token": "t", "metrics_token": "m", **more})


def request(**path: str) -> Request:
    """A request with the token."""
    headers = [(b"authorization", b"Bearer t")]
    return Request({"type": "http", "method": "GET", "path": "/", "headers": headers, "path_params": path})


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (ChangeRefused("rule_from_file", "no"), 409, "rule_from_file"),
        (ConfigInvalid([]), 422, "rule_invalid"),
        (RuleError("rr-1", "no"), 422, "rule_invalid"),
        (StoreError("gone"), 503, "store_unavailable"),
        (LedgerError("full"), 503, "ledger_unavailable"),
    ],
    ids=lambda value: type(value).__name__,
)
async def test_faults_of_the_rooms_become_problems(error: Exception, status: int, code: str) -> None:
    """No exception of a room behind reaches the client as a trace."""

    async def failing(_: Request) -> Any:
        raise error

    with pytest.raises(Problem) as caught:
        await Api(desk()).guarded(failing)(request())
    assert (caught.value.status, caught.value.code) == (status, code)


async def test_a_row_that_does_not_verify_is_not_shown(tmp_path: Path) -> None:
    """A decision whose row was edited is a problem that names the next step."""
    (tmp_path / "r1").mkdir()
    segment(tmp_path / "r1", 0).write_text('{"decision":"d-1","v":9}\n')
    with pytest.raises(Problem) as caught:
        await Api(desk(ledger_root=tmp_path)).decision(request(decision="d-1"))
    assert (caught.value.status, caught.value.code) == (500, "ledger_broken")
    assert "asl-gateway ledger verify" in caught.value.detail


async def test_a_damaged_archive_is_no_record(tmp_path: Path) -> None:
    """A compressed segment that is cut is said like a row that does not verify."""
    (tmp_path / "r1").mkdir()
    packed(segment(tmp_path / "r1", 0)).write_bytes(gzip.compress(b"row\n")[:-4])
    with pytest.raises(Problem) as caught:
        await Api(desk(ledger_root=tmp_path)).decision(request(decision="d-1"))
    assert (caught.value.status, caught.value.code) == (500, "ledger_broken")


async def test_not_ready_is_503_with_the_reasons() -> None:
    """A load balancer sees the status, a person the reasons."""
    answer = await Api(desk(readiness=Readiness({"starting": lambda: True}))).readyz(request())
    assert (answer.status_code, answer.body) == (503, b'{"ready":false,"reasons":["starting"]}')


def test_a_raise_that_is_not_in_force_yet_says_so() -> None:
    """``converged`` is false while this replica's snapshot does not cover the level that was asked for."""
    entry = SimpleNamespace(terms=SimpleNamespace(level=Level.both(3)))
    current = SimpleNamespace(entries={"m": entry}, digest="sha256:0", revision=7)
    keeper: Any = SimpleNamespace(holder=SimpleNamespace(current=current))
    answer = Api(desk(keeper=keeper))._changed("m", 201, Level.both(5))
    assert b'"converged":false' in answer.body


@pytest.mark.parametrize(
    ("header", "status"),
    [
        ("Bearer m", 200),
        ("bearer  m ", 200),
        ("Bearer t", 200),
        (None, 401),
        ("", 401),
        ("Bearer", 401),
        ("Bearer x", 401),
        ("Basic m", 401),
        ("m", 401),
    ],
)
async def test_off_loopback_metrics_want_a_token(header: str | None, status: int) -> None:
    """That of metrics.token or the operator's; health still wants none."""
    app = admin_app(desk(open_metrics=False, metrics=metrics()))
    headers = {} if header is None else {"authorization": header}
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="https://gateway.test") as http:
        answer = await http.get("/metrics", headers=headers)
        assert answer.status_code == status
        assert ("asl_gateway_" in answer.text) is (status == 200)
        assert (await http.get("/livez")).status_code == (await http.get("/readyz")).status_code == 200
    if status == 401:
        is_problem(answer, 401, "token_required")


@pytest.mark.parametrize(("method", "path"), PATHS)
async def test_the_metrics_token_opens_nothing_else(method: str, path: str) -> None:
    """Whoever may scrape may neither read nor change the policy."""
    app = admin_app(desk(open_metrics=False))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="https://gateway.test") as http:
        answer = await http.request(method, f"/api/v1{path}", headers={"authorization": "Bearer m"})
    is_problem(answer, 401, "token_required")


def test_the_metrics_token_is_a_file_for_its_owner(shared: Running) -> None:
    """Apart from the operator's, and like it 256 bits that nobody else can read."""
    file = shared.state / "metrics.token"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert re.fullmatch(r"[0-9a-f]{64}", file.read_text().strip())
    assert file.read_text().strip() != shared.token


KEYS = [
    "level",
    "owner",
    "reason",
    "text",
    "model",
    "id",
    "category",
    "direction",
    "match",
    "literal",
    "pattern",
    "action",
    "expires",
]
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(exclude_categories=()), max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS) | st.text(max_size=3), inner),
    max_leaves=8,
)
RESOURCES = [(method, path) for method, path in PATHS if method == "POST" or path == BRAKES]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    resource=st.sampled_from(RESOURCES),
    body=VALUES.map(lambda value: json.dumps(value).encode()) | st.binary(max_size=20),
    extra=st.dictionaries(st.sampled_from(KEYS), VALUES, max_size=3),
    named=st.booleans(),
)
def test_any_body_is_answered(
    call: Call, resource: tuple[str, str], body: bytes, extra: dict[str, object], named: bool
) -> None:
    """Whatever an operator's script sends, half characters too: an answer or a problem, and never a fault of ours."""
    known = {"/screen": {"text": "x"}, "/rules": RULE}.get(resource[1], RAISE)
    content = json.dumps({**known, **extra}).encode() if named and extra else body
    answer = call(*resource, content=content)
    assert answer.status_code < 500, answer.text
    if answer.status_code >= 400:
        is_problem(answer, answer.status_code, answer.json()["code"])
