"""The description and the API say the same."""

from __future__ import annotations

import json
import re
from types import SimpleNamespace
from typing import Any

from support.running import Running

from gateway.console import openapi
from gateway.console.api import admin_app


def test_every_route_is_described_and_no_other(shared: Running) -> None:
    """Paths and methods of the document are those of the application."""
    described = {(path, method.upper()) for path, item in openapi.document()["paths"].items() for method in item}
    desk: Any = SimpleNamespace(token="t", metrics_token="m", open_metrics=True)
    app = admin_app(desk)
    routed = {
        (re.sub(r":path}", "}", route.path), method)
        for route in app.routes
        for method in (route.methods or ())
        if route.path.startswith("/api/v1") and method != "HEAD"
    }
    assert described == routed
    assert shared.api("GET", "/openapi.json").json() == openapi.document()


def test_the_document_has_the_shape_of_openapi() -> None:
    """Version, security, a summary for every operation, and a parameter for every part of a path."""
    document = openapi.document()
    assert document["openapi"].startswith("3.1")
    assert document["security"] == [{"token": []}]
    for path, item in document["paths"].items():
        for operation in item.values():
            assert operation["summary"]
            assert "default" in operation["responses"]
            assert [one["name"] for one in operation.get("parameters", [])] == re.findall(r"{(\w+)}", path)
    assert json.loads(json.dumps(document)) == document


def test_what_is_required_is_required(shared: Running) -> None:
    """A body without a key that the description requires is refused."""
    item = openapi.document()["paths"]["/api/v1/models/{model}/brakes"]["post"]
    schema = item["requestBody"]["content"]["application/json"]["schema"]
    full = {"level": "asl-4", "owner": "o", "reason": "r"}
    assert schema["required"] == sorted(full)
    for key in full:
        body = {name: value for name, value in full.items() if name != key}
        assert shared.api("POST", "/models/demo-model/brakes", json=body).status_code == 422
