"""What the pipeline refuses by itself, how verdicts become errors, and how errors become outcomes."""

from __future__ import annotations

import secrets
from typing import Final

from gateway.errors import (
    Blocked,
    FeatureRefused,
    GatewayError,
    LedgerUnavailable,
    NotAssessed,
    Overloaded,
    RetryLater,
    SafeguardUnavailable,
    ServingHalted,
    TooLarge,
    UpstreamError,
)
from gateway.exchange import Exchange
from gateway.metrics import Result
from gateway.terms import Standing, Terms
from gateway.verdict import Cause, Reason, Verdict

RETRY_SPREAD: Final = 3  # seconds over which the clients of one failure come back


def admit(exchange: Exchange, terms: Terms) -> None:
    """Refuse what the level in force refuses, before any control is asked. Raises ServingRefused, FeatureRefused."""
    if terms.standing is Standing.HALTED:
        raise ServingHalted("serving of this model is halted")
    if terms.standing is Standing.NOT_ASSESSED:
        raise NotAssessed("this model is assigned to a level that this gateway cannot serve yet")
    for use in exchange.uses:
        if use.feature in terms.refused:
            raise FeatureRefused(f"{use.path} is not accepted for this model at its safety level", param=use.path)


def refusal(verdict: Verdict, terms: Terms) -> GatewayError:
    """The error that a verdict on the input ends in."""
    if verdict.reason is Reason.SERVING_HALTED:
        return ServingHalted("serving of this model is halted")
    if verdict.reason is Reason.NOT_ASSESSED:
        return NotAssessed("this model is assigned to a level that this gateway cannot serve yet")
    if verdict.cause is Cause.INFRASTRUCTURE:
        return SafeguardUnavailable("a safeguard could not judge the request")
    if verdict.reason is Reason.OVER_BUDGET:
        return TooLarge(
            f"the prompt needs more than the {terms.screen_budget} screening windows that this level allows"
        )
    return Blocked("the request was blocked")


def spread(error: GatewayError) -> None:
    """Draw when the client may come back, where the trouble is our own: all at once would be the next failure."""
    if isinstance(error, RetryLater):
        error.retry_after = 1 + secrets.randbelow(RETRY_SPREAD)


def outcome_of(error: GatewayError) -> Result:
    """The closed outcome value of an error."""
    table: tuple[tuple[type[GatewayError], Result], ...] = (
        (Blocked, Result.BLOCKED_INPUT),
        (ServingHalted, Result.HALTED),
        (NotAssessed, Result.HALTED),
        (LedgerUnavailable, Result.UNRECORDED),
        (SafeguardUnavailable, Result.UNEVALUATED),
        (Overloaded, Result.OVERLOADED),
        (UpstreamError, Result.UPSTREAM_FAILED),
    )
    for kind, result in table:
        if isinstance(error, kind):
            return result
    return Result.REFUSED if error.status < 500 else Result.FAILED
