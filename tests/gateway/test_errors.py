"""The exception tree is the one drawn in its docstring, and an upstream's status is passed on only where that is right."""

from __future__ import annotations

import re

import pytest

from gateway import errors
from gateway.errors import BadRequest, FeatureRefused, GatewayError, UpstreamStatus


def drawn() -> list[tuple[str, str, int]]:
    """(class, parent, status) of every line of the tree in the docstring."""
    found: list[tuple[str, str, int]] = []
    path: list[str] = []
    for line in (errors.__doc__ or "").splitlines():
        match = re.match(r"    ([│├└─ ]*)([A-Z]\w+) +(\d{3})", line)
        if match:
            depth = len(match[1]) // 4
            path[depth:] = [match[2]]
            found.append((match[2], path[depth - 1] if depth else "Exception", int(match[3])))
    return found


def classes(root: type[GatewayError]) -> list[type[GatewayError]]:
    """A class and everything below it."""
    return [root, *(found for child in root.__subclasses__() for found in classes(child))]


def test_the_tree_is_as_drawn() -> None:
    """Every class of the module stands in the docstring under its parent, with its status."""
    ours = [found for found in classes(GatewayError) if found.__module__ == errors.__name__]
    real = {(found.__name__, found.__bases__[0].__name__, found.status) for found in ours}
    assert set(drawn()) == real
    assert len(drawn()) == len(real) > 15


def test_every_class_has_code_and_kind() -> None:
    """Clients can rely on a slug and an error type; only our own doing and the upstream's can be retried."""
    for found in classes(GatewayError):
        assert re.fullmatch(r"[a-z_]+", getattr(found, "code", "abstract"))
        assert found.kind.endswith("_error")
        assert not (found.retryable and found.status < 500)


def test_codes_that_clients_know() -> None:
    """The codes of the contract's table are these."""
    codes = {found.__name__: getattr(found, "code", None) for found in classes(GatewayError)}
    assert codes["Blocked"] == "content_filter"
    assert codes["ServingHalted"] == "asl_serving_halted"
    assert codes["NotAssessed"] == "asl_not_assessed"
    assert codes["ModelNotFound"] == "model_not_found"
    assert codes["SafeguardUnavailable"] == codes["LedgerUnavailable"] == "safeguard_unavailable"


def test_a_fault_names_its_field() -> None:
    """Message and parameter are kept; the message is also what logs see."""
    fault = FeatureRefused("logprobs are refused at this level", param="logprobs")
    assert (fault.message, fault.param, str(fault)) == (fault.message, "logprobs", "logprobs are refused at this level")
    assert GatewayError("x").param is None


def test_a_bad_request_may_say_what_was_wrong() -> None:
    """A code of its own belongs to one fault only; the class keeps its own."""
    assert BadRequest("x", code="duplicate_key").code == "duplicate_key"
    assert BadRequest("x").code == "invalid_request"


@pytest.mark.parametrize(
    ("status", "answered", "code", "retryable"),
    [
        (400, 400, "upstream_refused", False),
        (404, 404, "upstream_refused", False),
        (422, 422, "upstream_refused", False),
        (429, 429, "upstream_rate_limited", True),
        (401, 502, "upstream_error", False),
        (403, 502, "upstream_error", False),
        (302, 502, "upstream_error", False),
        (500, 502, "upstream_error", True),
        (503, 502, "upstream_error", True),
    ],
)
def test_upstream_statuses(status: int, answered: int, code: str, retryable: bool) -> None:
    """4xx pass as status, except those about our own credential; redirects and 5xx become 502."""
    fault = UpstreamStatus(status, retry_after=7)
    assert (fault.status, fault.code, fault.retryable) == (answered, code, retryable)
    assert fault.upstream_status == status
    assert fault.retry_after == (7 if status == 429 else None)
    assert fault.kind == {429: "rate_limit_error"}.get(
        status, "invalid_request_error" if answered < 500 else "api_error"
    )
    assert UpstreamStatus.status == 502
