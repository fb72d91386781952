"""The admin API: models and brakes, rules, screening, decisions, metrics and health. On its own listener, with a bearer token."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from gateway.app.keeper import Keeper
from gateway.app.readiness import Readiness
from gateway.clock import Clock
from gateway.console import openapi, views
from gateway.console.probes import LIVE, ready_body
from gateway.console.problems import Problem
from gateway.console.screen import Screener
from gateway.controls.benign import benign
from gateway.controls.matching import RuleError
from gateway.controls.rules import expected_hits, validate
from gateway.ledger import verify as ledger_files
from gateway.ledger.base import Field, LedgerError
from gateway.ledger.rows import RowInvalid
from gateway.ledger.segments import SegmentDamaged
from gateway.metrics import Metrics
from gateway.policy import changes
from gateway.settings.faults import ConfigInvalid
from gateway.settings.rules import from_rule, rule_from
from gateway.state.base import Store, StoreError
from gateway.terms import Level, Rule

MAX_BODY = 1 << 20
STATUS = {"unknown_model": 404, "unknown_rule": 404, "reason_required": 422, "reason_invalid": 422}

T = TypeVar("T")
Handler = Callable[[Request], Awaitable[Response]]


@dataclass(frozen=True, slots=True)
class Desk:
    """What the admin API works with."""

    keeper: Keeper
    readiness: Readiness
    metrics: Metrics
    clock: Clock
    screener: Screener
    ledger_root: Path
    token: str
    metrics_token: str
    open_metrics: bool = True  # on loopback a scraper needs no token
    unattested: bool = True


def admin_app(desk: Desk) -> Starlette:
    """The admin plane as an ASGI application."""
    api = Api(desk)
    return Starlette(
        routes=[
            Route("/livez", api.livez),
            Route("/readyz", api.readyz),
            Route("/metrics", api.metrics if desk.open_metrics else api.scrape),
            Route("/api/v1/openapi.json", api.guarded(api.openapi)),
            Route("/api/v1/models", api.guarded(api.models)),
            Route("/api/v1/models/{model:path}/brakes", api.guarded(api.open_brake), methods=["POST"]),
            Route("/api/v1/models/{model:path}/brakes", api.guarded(api.release), methods=["DELETE"]),
            Route("/api/v1/models/{model:path}", api.guarded(api.model)),
            Route("/api/v1/rules", api.guarded(api.rules), methods=["GET"]),
            Route("/api/v1/rules", api.guarded(api.add_rule), methods=["POST"]),
            Route("/api/v1/rules/{rule}", api.guarded(api.remove_rule), methods=["DELETE"]),
            Route("/api/v1/screen", api.guarded(api.screen), methods=["POST"]),
            Route("/api/v1/decisions/{decision}", api.guarded(api.decision)),
        ],
        exception_handlers={Problem: _problem, 404: _not_found, 405: _not_allowed},
    )


async def _problem(_: Request, error: Exception) -> Response:
    assert isinstance(error, Problem)
    return error.response()


async def _not_found(_: Request, __: Exception) -> Response:
    return Problem(404, "unknown_route", "there is no such resource").response()


async def _not_allowed(_: Request, __: Exception) -> Response:
    return Problem(405, "method_not_allowed", "the resource does not take this method").response()


class Api:
    """The handlers. Each is one resource of docs/contract.md."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._token = _digest(desk.token)
        self._scrapers = (self._token, _digest(desk.metrics_token))

    def guarded(self, handler: Handler) -> Handler:
        """Token first; then every fault of the rooms behind becomes a problem."""

        async def guard(request: Request) -> Response:
            self._admit(request)
            try:
                return await handler(request)
            except changes.ChangeRefused as error:
                raise Problem(STATUS.get(error.code, 409), error.code, str(error)) from error
            except (ConfigInvalid, RuleError) as error:
                raise Problem(422, "rule_invalid", str(error)) from error
            except StoreError as error:
                raise Problem(503, "store_unavailable", str(error)) from error
            except LedgerError as error:
                raise Problem(503, "ledger_unavailable", str(error)) from error

        return guard

    def _admit(self, request: Request) -> None:
        """A browser is never a client of this API (no Origin), and a name that is not ours may be rebound DNS."""
        if "origin" in request.headers:
            raise Problem(403, "origin_refused", "requests with an Origin are not accepted here")
        if not _bears(request, self._token):
            raise Problem(401, "token_required", "send the token of operator.token as `Authorization: Bearer …`")

    async def livez(self, _: Request) -> Response:
        """The event loop turns."""
        return JSONResponse(LIVE)

    async def readyz(self, _: Request) -> Response:
        """Whether traffic should come."""
        status, body = ready_body(self._desk.readiness)
        return JSONResponse(body, status)

    async def metrics(self, _: Request) -> Response:
        """The text exposition, rendered in a thread since it takes milliseconds."""
        text = await asyncio.to_thread(self._desk.metrics.render)
        return PlainTextResponse(text, media_type="text/plain; version=0.0.4; charset=utf-8")

    async def scrape(self, request: Request) -> Response:
        """The metrics off loopback: for the operator, and for whoever holds the metrics token, which opens nothing else."""
        if not _bears(request, *self._scrapers):
            raise Problem(401, "token_required", "send the token of metrics.token as `Authorization: Bearer …`")
        return await self.metrics(request)

    async def openapi(self, _: Request) -> Response:
        """This API's description."""
        return JSONResponse(openapi.document())

    async def models(self, _: Request) -> Response:
        """All models."""
        snapshot = self._desk.keeper.holder.current
        entries = [
            views.model(entry, unattested=self._desk.unattested) for _, entry in sorted(snapshot.entries.items())
        ]
        return self._policy({"models": entries, "policy": snapshot.digest, "revision": snapshot.revision})

    async def model(self, request: Request) -> Response:
        """One model."""
        entry = self._desk.keeper.holder.current.entries[self._name(request)]
        return self._policy(views.model(entry, unattested=self._desk.unattested))

    async def open_brake(self, request: Request) -> Response:
        """Raise."""
        name, body = self._name(request), await self._body(request, {"level", "owner", "reason"})
        level, actor = views.level(body.get("level")), self._actor(body)
        brake = await self._change(
            request,
            lambda store: changes.raise_level(store, name, level, actor),
            lambda brake: views.brake_row("raise", brake),
        )
        return self._changed(name, 201, brake.level)

    async def release(self, request: Request) -> Response:
        """Release."""
        name, body = self._name(request), await self._body(request, {"owner", "reason"})
        actor = self._actor(body)
        await self._change(
            request,
            lambda store: changes.release(store, name, actor),
            lambda brakes: views.release_row(name, brakes, actor, unattested=self._desk.unattested),
            {"act": "release_intended", "model": name, "owner": actor.owner, "reason": actor.reason},
        )
        return self._changed(name, 200, None)

    async def rules(self, _: Request) -> Response:
        """All rules."""
        snapshot, files = self._desk.keeper.holder.current, self._desk.keeper.files
        from_files = {rule.id for rule in files.rules}
        found = views.rules_of(snapshot)
        listed = [{**from_rule(rule), "source": "file" if rule.id in from_files else "added"} for rule in found]
        return self._policy({"rules": listed, "policy": snapshot.digest})

    async def add_rule(self, request: Request) -> Response:
        """Add a rule, and say what it would hit in ordinary text."""
        self._match(request, self._seen())
        rule = rule_from(await self._json(request), "rule")
        hits, of = await asyncio.to_thread(_try, rule)
        taken = {found.id for found in self._desk.keeper.files.rules}
        actor = changes.Actor("operator", rule.reason, self._now())
        await self._change(
            request,
            lambda store: changes.add_rule(store, rule, taken, actor),
            lambda _: views.rule_row("rule_added", rule.id, rule.reason),
        )
        body = {"rule": {**from_rule(rule), "source": "added"}, "expected_hits": hits, "of": of}
        return self._policy({**body, **self._revision()}, 201)

    async def remove_rule(self, request: Request) -> Response:
        """Remove an added rule."""
        self._match(request, self._seen())
        rule = request.path_params["rule"]
        from_files = {found.id for found in self._desk.keeper.files.rules}
        await self._change(
            request,
            lambda store: changes.remove_rule(store, rule, from_files),
            lambda _: views.rule_row("rule_removed", rule, ""),
            views.rule_row("rule_removal_intended", rule, ""),
        )
        return self._policy(self._revision())

    async def screen(self, request: Request) -> Response:
        """What would happen to a text."""
        body = await self._body(request, {"model", "text"})
        text, model = body.get("text"), body.get("model")
        if not isinstance(text, str) or not (model is None or isinstance(model, str)):
            raise Problem(422, "invalid_body", "text and model are strings")
        return JSONResponse(await self._desk.screener.screen(text, model))

    async def decision(self, request: Request) -> Response:
        """The rows of one decision."""
        try:
            rows = await asyncio.to_thread(ledger_files.show, self._desk.ledger_root, request.path_params["decision"])
        except (RowInvalid, SegmentDamaged) as error:
            raise Problem(
                500, "ledger_broken", f"a row does not verify: {error}; run `asl-gateway ledger verify`"
            ) from error
        if not rows:
            raise Problem(404, "unknown_decision", "no row of this decision is on this state directory")
        return JSONResponse({"rows": rows})

    def _name(self, request: Request) -> str:
        given = request.path_params["model"]
        name = self._desk.keeper.holder.current.names.get(given)
        if name is None:
            raise Problem(404, "unknown_model", f'no model is registered as "{given}"')
        return name

    def _now(self) -> int:
        return int(self._desk.clock.wall())

    def _actor(self, body: dict[str, Any]) -> changes.Actor:
        return changes.Actor(str(body.get("owner") or ""), str(body.get("reason") or ""), self._now())

    async def _body(self, request: Request, known: set[str]) -> dict[str, Any]:
        self._match(request, self._seen())
        body = await self._json(request)
        if not isinstance(body, dict) or not body.keys() <= known:
            raise Problem(422, "invalid_body", f"the body is an object with the keys {', '.join(sorted(known))}")
        return body

    async def _json(self, request: Request) -> Any:
        data = bytearray()
        async for chunk in request.stream():
            data += chunk
            if len(data) > MAX_BODY:
                raise Problem(413, "body_too_large", f"a body has at most {MAX_BODY} bytes")
        try:
            return json.loads(bytes(data))
        except (ValueError, RecursionError) as error:
            raise Problem(400, "invalid_json", "the body is not JSON") from error

    async def _change(
        self,
        request: Request,
        act: Callable[[Store], T],
        row: Callable[[T], dict[str, Field]],
        loosening: dict[str, Field] | None = None,
    ) -> T:
        """One change. ``If-Match`` is held against the store once more in the keeper's turn: of two writers who saw the same, one wins."""

        def once(store: Store) -> T:
            self._match(request, store.revision())
            return act(store)

        return await self._desk.keeper.change(once, row, loosening=loosening)

    def _seen(self) -> int:
        return self._desk.keeper.holder.current.revision

    @staticmethod
    def _match(request: Request, revision: int) -> None:
        """``If-Match``: change only what was looked at."""
        if request.headers.get("if-match") not in {None, "*", f'"{revision}"'}:
            raise Problem(412, "revision_changed", "the policy has changed since; look at it again")

    def _revision(self) -> dict[str, Any]:
        snapshot = self._desk.keeper.holder.current
        return {"policy": snapshot.digest, "revision": snapshot.revision}

    def _changed(self, name: str, status: int, wanted: Level | None) -> Response:
        level = self._desk.keeper.holder.current.entries[name].terms.level
        converged = wanted is None or level.covers(wanted)
        body = {
            "model": name,
            "in_force": str(level),
            "converged": converged,
            "unattested": self._desk.unattested and wanted is None,
        }
        return self._policy({**body, **self._revision()}, status)

    def _policy(self, body: dict[str, Any], status: int = 200) -> Response:
        return JSONResponse(body, status, {"etag": f'"{self._desk.keeper.holder.current.revision}"'})


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()


def _bears(request: Request, *tokens: bytes) -> bool:
    """Whether a request bears one of the tokens, given by their digests; all are compared, whichever fits."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    given = _digest(token.strip())
    fits = [hmac.compare_digest(given, known) for known in tokens]
    return scheme.lower() == "bearer" and any(fits)


def _try(rule: Rule) -> tuple[int, int]:
    validate(rule)
    samples = benign()
    return expected_hits(rule, samples), len(samples)
