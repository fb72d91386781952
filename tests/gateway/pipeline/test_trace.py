"""What an exchange is recorded as: rows of the contract's keys, the worst verdict of each control, times without other people's waits."""

from __future__ import annotations

from msgspec.structs import replace
from support.control_values import exchange, terms
from support.pipelines import OPENAI, bench, body_of

from gateway.exchange import Caller, Certificate, Direction
from gateway.ledger.base import Kind
from gateway.ledger.rows import canonical
from gateway.metrics import PREFIX, Metrics, metrics
from gateway.pipeline.trace import Trace
from gateway.verdict import Outcome, Reason, Verdict, allow

SHARED = {"asl", "caller", "decision", "dialect", "input_digest", "model", "policy", "request", "stream"}
INTENT = SHARED | {"controls"}
OUTCOME = INTENT | {
    "category",
    "cause",
    "control",
    "detail",
    "direction",
    "duration_ms",
    "failures",
    "finish",
    "outcome",
    "reason",
    "released",
    "scanned",
    "status",
    "substitutes",
    "upstream_bytes",
}
BLOCK = Verdict(Outcome.BLOCK, "rules", Reason.RULE_MATCHED, category="cbrn", detail="rr-1 at text")


def trace() -> Trace:
    """An exchange that began at 1000."""
    return Trace("d-1", "r-1", "openai.chat", Caller(), 1000.0)


async def test_rows_have_the_contracts_keys() -> None:
    """Intent and outcome rows of a real exchange share decision and request, and have exactly the published fields."""
    async with bench() as b:
        await b.ask(OPENAI, body_of(OPENAI))
        (intent,), (outcome,) = b.ledger.of(Kind.INTENT), b.ledger.of(Kind.OUTCOME)
        assert (set(intent), set(outcome)) == (INTENT, OUTCOME)
        assert {key: intent[key] for key in SHARED} == {key: outcome[key] for key in SHARED}
        assert "rules:allow" in str(intent["controls"])
        assert "rules:allow" in str(outcome["controls"])
        assert "harm_screen:allow(shadow)" in str(intent["controls"])


def test_an_exchange_that_was_never_parsed_has_a_whole_row() -> None:
    """Before anything is known the row says none, and it is still a valid row."""
    row = trace().outcome_row(1000.25)
    assert set(row) == OUTCOME
    assert (row["asl"], row["model"], row["policy"], row["input_digest"]) == ("none",) * 4
    assert (row["duration_ms"], row["stream"], row["outcome"], row["cause"]) == (250, 0, "failed", "none")
    canonical(row)


def test_the_worst_verdict_of_a_control_is_kept() -> None:
    """A later allow does not hide a block, and directions are kept apart."""
    made = trace()
    made.note([allow("rules"), BLOCK, allow("rules"), replace(allow("harm"), shadow=True)], Direction.INPUT)
    made.note([allow("rules")], Direction.OUTPUT)
    assert made.controls(Direction.INPUT) == "rules:block,harm:allow(shadow)"
    assert made.controls(Direction.OUTPUT) == "rules:allow"


def test_the_digest_is_keyed() -> None:
    """The same body under another key has another digest, and none shows the text."""
    one, other, again = trace(), trace(), trace()
    for made, key in ((one, b"k1"), (other, b"k2"), (again, b"k1")):
        digest = made.digest(key)
        digest.update(b"text")
        made.digested(digest)
    assert one.input_digest == again.input_digest != other.input_digest
    assert len(one.input_digest) == len("hmac-sha256:") + 64


def value(counts: Metrics, name: str, labels: dict[str, str]) -> float:
    """One sample."""
    return counts.registry.get_sample_value(PREFIX + name, labels) or 0.0


def test_waits_for_others_are_not_our_work() -> None:
    """Added latency leaves out the model server's time, own work also controls, ledger and client."""
    made, counts = trace(), metrics()
    made.exchange, made.terms = exchange("x"), terms()
    made.waits.upstream, made.waits.controls, made.waits.ledger, made.waits.client = 5.0, 1.0, 0.5, 0.25
    made.forwarded, made.first_text, made.first_byte = 1001.5, 1006.0, 1006.5
    made.note([BLOCK], Direction.OUTPUT)
    made.count(counts, 1007.0)
    labels = {"dialect": "openai.chat"}
    assert value(counts, "added_latency_seconds_sum", labels | {"streamed": "no"}) == 2.0
    assert value(counts, "own_work_seconds_sum", labels) == 0.25
    assert value(counts, "first_byte_added_seconds_sum", labels) == 2.0
    asked = {"model": "demo", "asl": "3", "control": "rules", "direction": "output"}
    assert value(counts, "decisions_total", asked | {"verdict": "block", "category": "cbrn"}) == 1


def test_what_leaves_is_counted_by_model() -> None:
    """Egress is the text that clients got; an exchange that released nothing adds no series."""
    made, counts = trace(), metrics()
    made.exchange, made.terms = exchange("x"), terms()
    made.count(counts, 1001.0)
    assert counts.registry.get_sample_value(PREFIX + "egress_bytes_total", {"model": "demo"}) is None
    made.released = 1730
    made.count(counts, 1001.0)
    assert value(counts, "egress_bytes_total", {"model": "demo"}) == 1730


def test_without_a_first_byte_no_wait_for_it_is_observed() -> None:
    """A refusal before the answer counts as a request, and not in the histogram of first bytes."""
    made, counts = trace(), metrics()
    made.exchange = exchange("x")
    made.count(counts, 1001.0)
    assert value(counts, "first_byte_added_seconds_count", {"dialect": "openai.chat"}) == 0
    made.first_byte = 1000.5
    made.count(counts, 1001.0)
    assert value(counts, "first_byte_added_seconds_sum", {"dialect": "openai.chat"}) == 0.5
    assert (
        value(counts, "requests_total", {"model": "none", "asl": "none", "dialect": "openai.chat", "outcome": "failed"})
        == 2
    )


def test_a_clients_certificate_is_in_both_rows() -> None:
    """By its fingerprint alone; without one the rows have no such key."""
    made = trace()
    shown = Certificate("sha256:" + "0" * 64, "CN=x", "CN=y", uris=("spiffe://prod.test/x",))
    made.caller = Caller(certificate=shown)
    for row in (made.intent_row(), made.outcome_row(1001.0)):
        assert row["certificate"] == shown.fingerprint
        assert not {"CN=x", "CN=y", "spiffe://prod.test/x"} & set(map(str, row.values()))
        canonical(row)
    assert "certificate" not in trace().intent_row()
