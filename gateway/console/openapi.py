"""The admin API's OpenAPI 3.1 document."""

from __future__ import annotations

from typing import Any

STRING = {"type": "string"}
PROBLEM = {
    "description": "a fault",
    "content": {
        "application/problem+json": {
            "schema": {
                "type": "object",
                "required": ["type", "title", "status", "code", "detail"],
                "properties": {
                    "type": STRING,
                    "title": STRING,
                    "status": {"type": "integer"},
                    "code": STRING,
                    "detail": STRING,
                },
            }
        }
    },
}
RULE = {
    "type": "object",
    "required": ["id", "category", "match", "reason"],
    "additionalProperties": False,
    "properties": {
        "id": {"type": "string", "pattern": "^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"},
        "category": {"type": "string", "pattern": "^[a-z][a-z0-9_]{0,31}$"},
        "direction": {"enum": ["input", "output", "both"]},
        "match": {
            "type": "object",
            "properties": {"literal": STRING, "pattern": STRING},
            "additionalProperties": False,
        },
        "action": {"const": "block"},
        "expires": {"type": ["string", "null"], "format": "date"},
        "reason": {"type": "string", "minLength": 1, "maxLength": 500},
    },
}


def document() -> dict[str, Any]:
    """The whole description."""
    act = {"owner": STRING, "reason": STRING}
    return {
        "openapi": "3.1.0",
        "info": {"title": "ASL gateway admin API", "version": "1"},
        "security": [{"token": []}],
        "components": {"securitySchemes": {"token": {"type": "http", "scheme": "bearer"}}},
        "paths": {
            "/api/v1/models": {"get": _operation("All models with record, brakes and level in force")},
            "/api/v1/models/{model}": {"get": _operation("One model", path="model")},
            "/api/v1/models/{model}/brakes": {
                "post": _operation("Raise: open a brake", "201", path="model", body=_object({"level": _LEVEL, **act})),
                "delete": _operation("Release all open brakes", path="model", body=_object(act)),
            },
            "/api/v1/rules": {"get": _operation("All rules"), "post": _operation("Add a rule", "201", body=RULE)},
            "/api/v1/rules/{rule}": {"delete": _operation("Remove an added rule", path="rule")},
            "/api/v1/screen": {
                "post": _operation("What would happen to a text", body=_object({"text": STRING}, {"model": STRING})),
            },
            "/api/v1/decisions/{decision}": {"get": _operation("The ledger rows of one decision", path="decision")},
            "/api/v1/openapi.json": {"get": _operation("This document")},
        },
    }


_LEVEL = {"enum": ["asl-1", "asl-2", "asl-3", "asl-4", "asl-5"]}


def _object(required: dict[str, Any], optional: dict[str, Any] | None = None) -> dict[str, Any]:
    properties = {**required, **(optional or {})}
    return {"type": "object", "required": sorted(required), "properties": properties, "additionalProperties": False}


def _operation(
    summary: str, status: str = "200", *, path: str = "", body: dict[str, Any] | None = None
) -> dict[str, Any]:
    answer = {"description": "done", "content": {"application/json": {"schema": {"type": "object"}}}}
    operation: dict[str, Any] = {"summary": summary, "responses": {status: answer, "default": PROBLEM}}
    if path:
        operation["parameters"] = [{"name": path, "in": "path", "required": True, "schema": STRING}]
    if body is not None:
        operation["requestBody"] = {"required": True, "content": {"application/json": {"schema": body}}}
    return operation
