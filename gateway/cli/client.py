"""Talks to a running gateway's admin API, which it finds through the state directory."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx

from gateway.cli.exits import Exit, fail

TIMEOUT = 15.0


class AdminClient:
    """The admin API of one running gateway. Every refusal ends the command with its exit code."""

    def __init__(self, state: Path) -> None:
        self._state = state
        url, token = self._find()
        self._http = httpx.Client(
            base_url=url, headers={"authorization": f"Bearer {token}"}, timeout=TIMEOUT, trust_env=False
        )

    def _find(self) -> tuple[str, str]:
        start = f"start one with `asl-gateway serve … --state {self._state}`, or name its directory with --state"
        try:
            replicas = json.loads((self._state / "admin.json").read_text())["replicas"]
            token = (self._state / "operator.token").read_text().strip()
        except FileNotFoundError:
            fail(Exit.FAILURE, f"no gateway runs on the state directory {self._state}", do=start)
        except PermissionError as error:
            fail(Exit.PERMISSION, f"{error.filename} cannot be read", do="run this as the gateway's user")
        except (OSError, ValueError, KeyError) as error:
            fail(Exit.FAILURE, f"{self._state}/admin.json cannot be read: {error}")
        if not replicas:
            fail(Exit.FAILURE, f"no gateway runs on the state directory {self._state}", do=start)
        return str(replicas[0]["admin"]), token

    def get(self, path: str) -> dict[str, Any]:
        """GET, and the JSON answer."""
        return self._call("GET", path)

    def post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """POST a JSON body, and the JSON answer."""
        return self._call("POST", path, body)

    def delete(self, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        """DELETE, and the JSON answer."""
        return self._call("DELETE", path, body)

    def _call(self, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        try:
            answer = self._http.request(method, f"/api/v1{path}", json=body)
        except httpx.HTTPError as error:
            fail(
                Exit.FAILURE,
                f"the gateway does not answer at {self._http.base_url}: {error}",
                do="is it still running?",
            )
        data: dict[str, Any] = answer.json()
        if not answer.is_success:
            code = Exit.PERMISSION if answer.status_code in {401, 403} else Exit.FAILURE
            fail(code, str(data.get("detail", data)))
        return data
