"""The TLS identity of one listener while it runs: read again when its files change, kept when what came cannot be used."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable, Callable

import structlog

from gateway.app.certificates import Identity, digest_of, read_identity
from gateway.metrics import Metrics
from gateway.settings.faults import ConfigInvalid
from gateway.settings.model import Tls

WATCH_SECONDS = 1.0

log = structlog.get_logger("asl_gateway")


class Rotation:
    """Holds the identity that new connections get. ``changed`` is awaited after each change of it."""

    def __init__(self, name: str, tls: Tls, metrics: Metrics) -> None:
        """Blocks. Raises ConfigInvalid. ``name`` is ``listen`` or ``admin``, as in the configuration and in metrics."""
        self._name, self._tls, self._metrics = name, tls, metrics
        self.changed: Callable[[], Awaitable[None]] | None = None
        self._turn = asyncio.Lock()
        self._take(read_identity(tls, f"{name}.tls"))

    def context(self) -> ssl.SSLContext:
        """What a connection that comes now is served with."""
        return self.identity.context

    def _take(self, identity: Identity) -> None:
        self.identity = identity
        self._seen = identity.digest
        self._metrics.set("tls_certificate_expiry_timestamp_seconds", identity.expires, self._name)

    async def reload(self, tls: Tls) -> None:
        """Read the files anew, perhaps others than before. Raises ConfigInvalid, counted; what was in use stays then."""
        async with self._turn:
            await self._read(tls)

    async def look(self) -> None:
        """Take over files that have changed; those that cannot be used are counted and logged once, until they change again."""
        async with self._turn:
            if await asyncio.to_thread(digest_of, self._tls) == self._seen:
                return
            try:
                await self._read(self._tls)
            except ConfigInvalid as error:
                log.error("tls_reload_failed", listener=self._name, detail=str(error))

    async def _read(self, tls: Tls) -> None:
        seen = await asyncio.to_thread(digest_of, tls)
        try:
            identity = await asyncio.to_thread(read_identity, tls, f"{self._name}.tls")
        except ConfigInvalid:
            if tls == self._tls:
                self._seen = seen
            self._metrics.count("tls_reload_failures_total", self._name)
            raise
        self._tls = tls
        self._take(identity)
        if self.changed is not None:
            await self.changed()
        log.info("tls_reloaded", listener=self._name, expires=identity.expires)

    async def watch(self) -> None:
        """Look every second, until cancelled."""
        while True:
            await asyncio.sleep(WATCH_SECONDS)
            try:
                await self.look()
            except Exception as error:  # noqa: BLE001  # whatever happens to the files, what is in use serves on
                log.error("tls_watch_failed", listener=self._name, error=type(error).__name__, detail=str(error))
