"""The door of a TLS listener: accepts connections and makes their handshakes, each within a deadline, only so many at once.

asyncio's own TLS server says nothing of failed handshakes, has one context for ever, and lets any number wait a minute each.
"""

from __future__ import annotations

import asyncio
import errno
import socket
import ssl
from collections.abc import Callable
from dataclasses import dataclass

import structlog

# After these the kernel has no room for another connection; trying again at once would only burn the processor.
FULL = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}
FULL_PAUSE = 0.1
# Our own deadline comes first by so many seconds: a client that was slow is told apart from one that left.
LATER = 5.0
LOG_SECONDS = 1.0

NOT_TLS = {"HTTP_REQUEST", "HTTPS_PROXY_REQUEST", "WRONG_VERSION_NUMBER", "UNEXPECTED_MESSAGE", "BAD_RECORD_TYPE"}
NO_COMMON = {"UNSUPPORTED_PROTOCOL", "VERSION_TOO_LOW", "NO_SHARED_CIPHER", "NO_SUITABLE_SIGNATURE_ALGORITHM"}
NO_CERTIFICATE = {"PEER_DID_NOT_RETURN_A_CERTIFICATE", "CERTIFICATE_VERIFY_FAILED"}

log = structlog.get_logger("asl_gateway")


@dataclass(frozen=True, slots=True)
class DoorLimits:
    """``seconds``: how long a handshake may take. ``most``: how many may be in progress; beyond it the oldest is cut.

    ``goodbye``: seconds for a client to read what is left and to answer the end of TLS.
    """

    seconds: float = 10.0
    most: int = 256
    goodbye: float = 30.0


def reason_of(error: BaseException) -> str:
    """Why a handshake failed: a stable slug, one of a closed set."""
    if isinstance(error, asyncio.CancelledError):
        return "crowded_out"
    if isinstance(error, TimeoutError):
        return "timeout"
    if isinstance(error, ssl.SSLEOFError) or (isinstance(error, OSError) and not isinstance(error, ssl.SSLError)):
        return "client_gone"
    if not isinstance(error, ssl.SSLError):
        return "malformed"
    reason = getattr(error, "reason", None) or ""  # OpenSSL has errors without one
    if reason in NOT_TLS:
        return "not_tls"
    if reason in NO_COMMON:
        return "no_common_version_or_cipher"
    if reason in NO_CERTIFICATE:
        return "client_certificate"
    if reason == "UNEXPECTED_EOF_WHILE_READING":
        return "client_gone"
    return "client_alert" if "ALERT" in reason else "malformed"


class Door:
    """One listening socket, whose connections come to ``protocol`` when their handshake is done."""

    def __init__(
        self,
        listener: socket.socket,
        protocol: Callable[[], asyncio.Protocol],
        context: Callable[[], ssl.SSLContext],
        failed: Callable[[str], None],
        limits: DoorLimits,
    ) -> None:
        """``context`` is asked for each connection; ``failed`` is told the reason of each handshake that failed."""
        self._listener, self._protocol, self._context, self._failed = listener, protocol, context, failed
        self._limits = limits
        self._waiting: dict[asyncio.Task[None], None] = {}  # in the order of arrival
        self._logged = 0.0
        self._shutting = False

    async def stand_open(self) -> None:
        """Accept until cancelled, or until the socket is closed."""
        loop = asyncio.get_running_loop()
        while self._listener.fileno() >= 0:
            try:
                connection, _ = await loop.sock_accept(self._listener)
            except OSError as error:
                if error.errno in FULL:
                    self._report("no_room", error)
                    await asyncio.sleep(FULL_PAUSE)
                continue
            while len(self._waiting) >= self._limits.most:
                self._cut(next(iter(self._waiting)))
            task = loop.create_task(self._greet(connection))
            self._waiting[task] = None
            task.add_done_callback(lambda done: self._waiting.pop(done, None))
            await asyncio.sleep(0)  # its first step is taken before anybody can cut it, so that it closes its socket

    def _cut(self, task: asyncio.Task[None]) -> None:
        del self._waiting[task]
        task.cancel()

    async def _greet(self, connection: socket.socket) -> None:
        """One handshake."""
        loop = asyncio.get_running_loop()
        seconds = self._limits.seconds
        try:
            async with asyncio.timeout(seconds):
                await loop.connect_accepted_socket(
                    self._protocol,
                    connection,
                    ssl=self._context(),
                    ssl_handshake_timeout=seconds + LATER,
                    ssl_shutdown_timeout=self._limits.goodbye,
                )
        except asyncio.CancelledError as error:
            if not self._shutting:
                self._report(reason_of(error), error)
        except Exception as error:  # noqa: BLE001  # whatever a client sends, the door stands open for the next
            self._report(reason_of(error), error)

    def _report(self, reason: str, error: BaseException) -> None:
        """Every failure is counted; one a second is logged, since anybody can cause them."""
        self._failed(reason)
        now = asyncio.get_running_loop().time()
        if now - self._logged >= LOG_SECONDS:
            self._logged = now
            log.info("tls_handshake_failed", reason=reason, detail=str(error))

    async def shut(self) -> None:
        """Cut the handshakes that are in progress; connections that have come through live on."""
        self._shutting = True
        await asyncio.sleep(0)
        cut = list(self._waiting)
        for task in cut:
            self._cut(task)
        await asyncio.gather(*cut, return_exceptions=True)
