"""How the pipeline meets its client, without knowing any server, and what else it is handed: ``app`` implements them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from gateway.exchange import Caller, Exchange
from gateway.wire.base import Dialect, WireLimits

Headers = tuple[tuple[str, str], ...]


class Inbound(Protocol):
    """The body of a request whose head has been admitted and frozen."""

    @property
    def declared(self) -> int | None:
        """The declared length of the body in bytes, or None where it comes in chunks."""

    @property
    def media_type(self) -> str:
        """The content type, lower-case, without parameters other than a UTF-8 charset."""

    @property
    def coding(self) -> str:
        """The content coding, lower-case; empty for none."""

    async def read(self) -> bytes:
        """The next bytes of the body; empty at its end. Raises ClientGone."""


class Outbound(Protocol):
    """Where the answer goes."""

    async def head(self, status: int, headers: Headers) -> None:
        """Status and headers, once, before any bytes."""

    async def send(self, data: bytes) -> None:
        """Bytes of the body; waits while the client reads slowly."""

    async def end(self) -> None:
        """The body is complete."""

    async def gone(self) -> None:
        """Returns when the client has left; call it once, after the body was read."""


class BodyParser(Protocol):
    """Parses request bodies, wherever that may take place."""

    async def parse(self, dialect: Dialect, body: bytes, limits: WireLimits) -> Exchange:
        """As ``Dialect.parse``, and raises SafeguardUnavailable where it cannot be done now."""


class ClientGone(Exception):
    """The client left before its answer was complete."""


@dataclass(frozen=True, slots=True)
class Visitor:
    """One request at the pipeline's door."""

    caller: Caller
    inbound: Inbound
    outbound: Outbound
