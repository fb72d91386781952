"""Talks to a running gateway's admin API, which it finds through the state directory."""

from __future__ import annotations

import json
import os
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from gateway.cli.exits import Exit, fail

TIMEOUT = 15.0
CLIENT_CERT = "ASL_GATEWAY_CLIENT_CERT"
CLIENT_KEY = "ASL_GATEWAY_CLIENT_KEY"


@dataclass(frozen=True, slots=True)
class Replica:
    """Where a replica's admin plane answers, and the certificate by which it is known; empty on plain HTTP."""

    url: str
    certificate: str = ""


class AdminClient:
    """The admin API of one running gateway. Every refusal ends the command with its exit code.

    The state directory vouches for the admin plane: it holds the very certificate that must be shown. With ``ca`` one of these CAs
    vouches instead, and the name in the URL must be the certificate's. There is no way without either.
    """

    def __init__(self, state: Path, ca: Path | None = None) -> None:
        self._state, self._ca = state, ca
        self._replicas, self._token = self._find()

    def _find(self) -> tuple[list[Replica], str]:
        start = f"start one with `asl-gateway serve … --state {self._state}`, or name its directory with --state"
        try:
            registered = json.loads((self._state / "admin.json").read_text())["replicas"]
            token = (self._state / "operator.token").read_text().strip()
            replicas = [Replica(_dialled(str(one["admin"])), str(one.get("certificate", ""))) for one in registered]
        except (FileNotFoundError, NotADirectoryError):
            fail(Exit.FAILURE, f"no gateway runs on the state directory {self._state}", do=start)
        except PermissionError as error:
            fail(Exit.PERMISSION, f"{error.filename} cannot be read", do="run this as the gateway's user")
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            fail(Exit.FAILURE, f"{self._state}/admin.json cannot be read: {error}")
        if not replicas:
            fail(Exit.FAILURE, f"no gateway runs on the state directory {self._state}", do=start)
        return replicas, token

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
        for number, replica in enumerate(self._replicas, 1):
            try:
                with self._http(replica) as http:
                    return http.request(method, replica.url + path, json=body)
            except httpx.HTTPError as error:
                # Only where nothing was sent may another replica be asked: a change must not be made twice.
                if not isinstance(error, httpx.ConnectError) or number == len(self._replicas):
                    fail(
                        Exit.FAILURE,
                        f"the gateway does not answer at {replica.url}: {error}",
                        do=_advice(error, replica.url),
                    )
        raise AssertionError("there is always a replica")

    def _http(self, replica: Replica) -> httpx.Client:
        headers = {"authorization": f"Bearer {self._token}"}
        verify = self._trust(replica) if replica.url.startswith("https:") else True
        return httpx.Client(headers=headers, timeout=TIMEOUT, trust_env=False, verify=verify)

    def _trust(self, replica: Replica) -> ssl.SSLContext:
        """Whom to believe to be the admin plane, and who we are where it asks."""
        try:
            if self._ca is not None:
                context = ssl.create_default_context(cafile=str(self._ca))
            elif replica.certificate:
                context = _pinned(replica.certificate)
            else:
                context = ssl.create_default_context()
            if CLIENT_CERT in os.environ:
                context.load_cert_chain(os.environ[CLIENT_CERT], os.environ.get(CLIENT_KEY), password=_no_password)
        except (OSError, ValueError) as error:
            named = f"--ca, {CLIENT_CERT} or {CLIENT_KEY}"
            fail(Exit.FAILURE, f"a certificate cannot be used ({error})", do=f"look at what {named} name")
        return context


def _pinned(certificate: str) -> ssl.SSLContext:
    """This one certificate and no other is trusted, whatever name it bears: only it, not its issuer, is an anchor."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    context.load_verify_locations(cadata=certificate)
    return context


def _no_password() -> str:
    raise ValueError("a key is encrypted")


def _dialled(url: str) -> str:
    """An address that stands for all of a machine's is reached on its loopback."""
    return url.replace("//0.0.0.0:", "//127.0.0.1:").replace("//[::]:", "//[::1]:")


def _advice(error: httpx.HTTPError, url: str) -> str:
    if "verify failed" in str(error):
        return "another certificate is shown than the one that is trusted; its CA is named with --ca"
    if url.startswith("https:") and not isinstance(error, httpx.ConnectError | httpx.TimeoutException):
        return f"if it wants client certificates, name PEM files in {CLIENT_CERT} and {CLIENT_KEY}"
    return "is it still running?"
