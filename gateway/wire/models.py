"""``GET /v1/models`` and ``/v1/models/{id}``: in OpenAI's shape, and in Anthropic's where ``anthropic-version`` was sent.

The caller decides which models are listed (those that may serve now) and hands them in as pairs of canonical name and
creation time (epoch seconds). The lists are never cut into pages.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from gateway.wire import strict
from gateway.wire.base import JSON_TYPE, Reply

OWNER = "asl-gateway"


def models_page(models: Sequence[tuple[str, int]], *, anthropic: bool) -> Reply:
    """The list of all models handed in."""
    data = [_model(name, created, anthropic=anthropic) for name, created in models]
    if not anthropic:
        return _reply({"object": "list", "data": data})
    first, last = (models[0][0], models[-1][0]) if models else (None, None)
    return _reply({"data": data, "has_more": False, "first_id": first, "last_id": last})


def model_page(model: tuple[str, int], *, anthropic: bool) -> Reply:
    """One model."""
    return _reply(_model(*model, anthropic=anthropic))


def _model(name: str, created: int, *, anthropic: bool) -> dict[str, Any]:
    if not anthropic:
        return {"id": name, "object": "model", "created": created, "owned_by": OWNER}
    return {
        "type": "model",
        "id": name,
        "display_name": name,
        "created_at": datetime.fromtimestamp(created, UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "lifecycle": "active",
    }


def _reply(body: dict[str, Any]) -> Reply:
    return Reply(200, (("content-type", JSON_TYPE),), strict.dumps(body))
