"""The listeners of a gateway: data plane, admin plane, probes; opened together or not at all, each with its TLS identity."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from gateway.app.door import DoorLimits
from gateway.app.rotation import Rotation
from gateway.app.serving import Server, Tls, listen, server, url_of
from gateway.edge import EdgeSettings, edge_protocol
from gateway.edge_head import hosts_of
from gateway.metrics import Metrics
from gateway.settings.faults import ConfigInvalid, Fault
from gateway.settings.model import Settings, is_loopback
from gateway.settings.model import Tls as TlsSettings

Application = Callable[..., Any]


@dataclass(frozen=True, slots=True)
class Applications:
    """What each listener serves. ``admin`` is told whether its listener is on loopback."""

    data: Application
    admin: Callable[[bool], Application]
    probes: Application


@dataclass(frozen=True, slots=True)
class Addresses:
    """Where a running gateway answers; ``probes`` is empty without such a listener."""

    data: str
    admin: str
    probes: str = ""


class Listeners:
    """Sockets, TLS identities and servers. The servers are run by whoever opened them, the data plane's first."""

    def __init__(self, settings: Settings, metrics: Metrics) -> None:
        """Nothing is opened yet."""
        self._settings, self._metrics = settings, metrics
        self._refused: Callable[[str], None] = _uncounted
        self._rotations: dict[str, Rotation] = {}
        self.servers: list[tuple[socket.socket, Server]] = []

    @property
    def rotations(self) -> tuple[Rotation, ...]:
        """Those listeners' identities that have one."""
        return tuple(self._rotations.values())

    @property
    def admin_rotation(self) -> Rotation | None:
        """The admin plane's identity, if it has one."""
        return self._rotations.get("admin")

    def identify(self) -> None:
        """Read the TLS files; blocks. Raises ConfigInvalid with the faults of all of them."""
        faults: list[Fault] = []
        for name, tls in _tls_of(self._settings).items():
            try:
                self._rotations[name] = Rotation(name, tls, self._metrics)
            except ConfigInvalid as error:
                faults += error.faults
        if faults:
            raise ConfigInvalid(faults)

    def open(self, applications: Applications, refused: Callable[[str], None]) -> Addresses:
        """Listen on all addresses; ``refused`` counts refusals on the data plane. Raises ListenError; nothing stays open then."""
        settings, self._refused = self._settings, refused
        with contextlib.ExitStack() as opened:
            data = opened.enter_context(listen(settings.listen.address))
            admin = opened.enter_context(listen(settings.admin.address))
            probes = opened.enter_context(listen(settings.probes.address)) if settings.probes else None
            opened.pop_all()
        limits = settings.deadlines
        served = replace(self._edge(hosts_of(settings.hosts)), sparing=True)
        self._serve("listen", data, applications.data, edge_protocol(served, refused), limits.drain)
        inner = applications.admin(is_loopback(admin.getsockname()[0]))
        self._serve("admin", admin, inner, edge_protocol(self._edge(admin_hosts(admin)), _uncounted), 1)
        if probes is not None:
            self._serve("probes", probes, applications.probes, edge_protocol(self._edge(frozenset()), _uncounted), 1)
        return Addresses(
            url_of(data, self._scheme("listen")),
            url_of(admin, self._scheme("admin")),
            url_of(probes) if probes is not None else "",
        )

    def _edge(self, hosts: frozenset[bytes]) -> EdgeSettings:
        limits = self._settings.deadlines
        return EdgeSettings(limits.head, limits.body, limits.write, hosts, waiting=self._settings.limits.waiting)

    def _scheme(self, name: str) -> str:
        return "https" if name in self._rotations else "http"

    def _serve(self, name: str, listener: socket.socket, app: Application, protocol: Any, drain: float) -> None:
        settings, rotation = self._settings, self._rotations.get(name)
        limits = DoorLimits(settings.deadlines.handshake, settings.limits.handshakes, settings.deadlines.write)
        tls = Tls(rotation.context, self._failures(name), limits) if rotation is not None else None
        self.servers.append((listener, server(app, protocol, settings.deadlines.keep_alive, drain, tls)))

    def _failures(self, name: str) -> Callable[[str], None]:
        def failed(reason: str) -> None:
            self._metrics.count("tls_handshake_failures_total", name, reason)
            if name == "listen" and reason == "client_certificate":
                self._refused("client_certificate_refused")  # somebody was turned away: that belongs on record

        return failed

    async def reload(self, settings: Settings) -> None:
        """Read TLS files anew, perhaps others. Raises ConfigInvalid. A listener does not begin or cease to speak TLS while it runs."""
        for name, tls in _tls_of(settings).items():
            if name in self._rotations:
                await self._rotations[name].reload(tls)


def _tls_of(settings: Settings) -> dict[str, TlsSettings]:
    named = {"listen": settings.listen.tls, "admin": settings.admin.tls}
    return {name: tls for name, tls in named.items() if tls is not None}


def _uncounted(_: str) -> None:
    """Refusals on the operator's own listeners are not the data plane's."""


def admin_hosts(listener: socket.socket) -> frozenset[bytes]:
    """The admin plane answers to its own names only, so that a page in a browser cannot reach it under another."""
    host, port = listener.getsockname()[:2]
    if host not in {"127.0.0.1", "::1"}:
        return frozenset()
    return hosts_of([f"{name}:{port}" for name in ("127.0.0.1", "localhost", "[::1]")])
