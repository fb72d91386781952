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
        self._urls, self._token = self._find()

    def _find(self) -> tuple[list[str], str]:
        start = f"start one with `asl-gateway serve … --state {self._state}`, or name its directory with --state"
        try:
            replicas = json.loads((self._state / "admin.json").read_text())["replicas"]
            token = (self._state / "operator.token").read_text().strip()
            urls = [str(replica["admin"]) for replica in replicas]
        except (FileNotFoundError, NotADirectoryError):
            fail(Exit.FAILURE, f"no gateway runs on the state directory {self._state}", do=start)
        except PermissionError as error:
            fail(Exit.PERMISSION, f"{error.filename} cannot be read", do="run this as the gateway's user")
        except (OSError, ValueError, KeyError, TypeError) as error:
            fail(Exit.FAILURE, f"{self._state}/admin.json cannot be read: {error}")
        if not urls:
            fail(Exit.FAILURE, f"no gateway runs on the state directory {self._state}", do=start)
        return urls, token

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
        answer = self._ask(method, f"/api/v1{path}", body)
        try:
            data: dict[str, Any] = answer.json()
        except ValueError:
            fail(Exit.FAILURE, f"{answer.url} answered {answer.status_code}, and not as a gateway does")
        if not answer.is_success:
            code = Exit.PERMISSION if answer.status_code in {401, 403} else Exit.FAILURE
            fail(code, str(data.get("detail", data)))
        return data

    def _ask(self, method: str, path: str, body: dict[str, Any] | None) -> httpx.Response:
        """One answer, of the first replica that can be reached: a killed one stays registered until the next start."""
        for number, url in enumerate(self._urls, 1):
            try:
                with self._http() as http:
                    return http.request(method, url + path, json=body)
            except httpx.HTTPError as error:
                # Only where nothing was sent may another replica be asked: a change must not be made twice.
                if not isinstance(error, httpx.ConnectError) or number == len(self._urls):
                    fail(Exit.FAILURE, f"the gateway does not answer at {url}: {error}", do="is it still running?")
        raise AssertionError("there is always a replica")

    def _http(self) -> httpx.Client:
        headers = {"authorization": f"Bearer {self._token}"}
        return httpx.Client(headers=headers, timeout=TIMEOUT, trust_env=False)
