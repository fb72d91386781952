"""What the pipeline sees of a model server: send a body to a constant path, read an answer. No httpx type leaves this file."""

from __future__ import annotations

import asyncio
import re
import ssl
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path

import httpx

from gateway.errors import Overloaded, UpstreamError, UpstreamMalformed, UpstreamStatus, UpstreamTimeout
from gateway.upstream.connection import TotalTimeout
from gateway.upstream.request import encode_post
from gateway.upstream.transport import FastTransport, Limits, origin_of

DISCARD_BYTES = (
    64 * 1024
)  # of an error body: read and thrown away so that the connection can be kept; beyond, it is closed
DISCARD_SECONDS = 1.0
# Bytes handed on in one turn of the loop. Events are worked through at once, at up to 20 us for 55 bytes; a body is only kept.
EVENT_STEP = 4 * 1024
BODY_STEP = 64 * 1024
RETRY_AFTER_MAX = 3600
_PATH = re.compile(r"(?:/(?!\.{1,2}(?:/|$))[A-Za-z0-9_.-]+)*/?")  # no empty, dot or dot-dot segment
_DIGITS = re.compile(r"[0-9]{1,9}")
_MEDIA_TYPE = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+/[!#$%&'*+\-.^_`|~0-9A-Za-z]+")


@dataclass(frozen=True, slots=True)
class Deadlines:
    """Seconds. ``first_byte``: until the head of the answer; ``idle``: between two pieces of it; ``total``: the whole exchange.

    ``pace``: event streams are taken at most once in so many seconds, however fast their events come; 0 takes each as it comes.
    """

    connect: float = 5.0
    first_byte: float = 120.0
    idle: float = 60.0
    total: float = 600.0
    pace: float = 0.025


class PlainHeaders:
    """The headers of a response as they came, with as much of httpx's interface as is asked of them here."""

    __slots__ = ("_raw",)

    def __init__(self, raw: list[tuple[bytes, bytes]]) -> None:
        self._raw = raw

    def get_list(self, name: str) -> list[str]:
        """All values of a name."""
        wanted = name.encode()
        return [value.decode("latin-1") for key, value in self._raw if key.lower() == wanted]

    def get(self, name: str, otherwise: str) -> str:
        """All values of a name, joined."""
        return ", ".join(self.get_list(name)) or otherwise


@dataclass(frozen=True, slots=True)
class PlainResponse:
    """A response of our own transport. httpx's costs 36 us to make, its request 23 more."""

    status_code: int
    headers: PlainHeaders
    stream: httpx.AsyncByteStream


Response = httpx.Response | PlainResponse


class UpstreamAnswer:
    """An answer with status 200 whose body is still coming. Close it in any case; closing early makes the model server stop."""

    __slots__ = ("_response", "_step", "content_type", "status")

    def __init__(self, response: Response, content_type: str) -> None:
        self._response = response
        self.status = response.status_code
        self.content_type = content_type  # lower case, without parameters; empty when the server named none
        self._step = EVENT_STEP if content_type == "text/event-stream" else BODY_STEP

    async def chunks(self) -> AsyncIterator[bytes]:
        """The body in pieces, cut anywhere. Raises UpstreamTimeout, UpstreamMalformed or UpstreamError. To be iterated once."""
        assert isinstance(self._response.stream, httpx.AsyncByteStream)
        try:
            async for data in self._response.stream:
                yield data[: self._step]
                for at in range(self._step, len(data), self._step):
                    await asyncio.sleep(0)  # a burst is worked off in several turns of the loop
                    yield data[at : at + self._step]
        except httpx.HTTPError as fault:
            raise _translated(fault, waiting_for="idle") from fault

    async def close(self) -> None:
        """Let go. Within the same turn of the loop the connection is closed, unless the answer had come in whole."""
        await _close(self._response)


class Upstream:
    """One model server at a fixed address. Environment proxies are never read, redirects never followed, coded answers refused."""

    def __init__(
        self,
        url: str,
        *,
        ca: Path | None = None,
        socket: Path | None = None,
        key: str | None = None,
        deadlines: Deadlines | None = None,
        transport: Callable[[], httpx.AsyncBaseTransport] | None = None,
    ) -> None:
        """``url`` is the base without ``/v1``; ``ca`` a PEM file that replaces the system's roots; ``key`` is sent as bearer.

        Raises ValueError for a base that is not a plain http(s) URL, a key that is not visible ASCII, or an unreadable ``ca``.
        """
        self._base = _base(url)
        self._deadlines = deadlines or Deadlines()
        self._credentials = _credentials(key)
        self._urls: dict[str, httpx.URL] = {}
        uds = str(socket) if socket is not None else None
        self._transport = (
            transport() if transport is not None else FastTransport(verify=_trust(self._base, ca), uds=uds)
        )
        self._extensions = {"timeout": _timeouts(self._deadlines)}
        self._limits = Limits.of(self._extensions["timeout"])
        self._origin = origin_of(self._base)

    async def open(self, path: str, headers: tuple[tuple[str, str], ...], body: bytes) -> UpstreamAnswer:
        """POST ``body`` to a constant ``path`` and return once the head of a good answer is in.

        ``headers`` are ours (wire.base.upstream_headers); Host, length and credentials are added here. Raises UpstreamStatus for
        4xx and 5xx, UpstreamTimeout, UpstreamMalformed, UpstreamError, Overloaded when every connection is taken.
        Cancelling closes the connection at once.
        """
        try:
            response = await self._sent(path, headers, body)
        except httpx.HTTPError as fault:
            raise _translated(fault, waiting_for="first byte") from fault
        try:
            await self._check_status(response)
            return UpstreamAnswer(response, _content_type(response))
        except BaseException:  # the answer is not handed out, so nobody else could close it
            await _close(response)
            raise

    async def close(self) -> None:
        """Close every connection, also those in use."""
        await self._transport.aclose()

    async def _sent(self, path: str, headers: tuple[tuple[str, str], ...], body: bytes) -> Response:
        url = self._urls.get(path)
        if url is None:
            url = self._urls[path] = _joined(self._base, path)  # paths are constants of the dialects: a handful
        key_headers = self._credentials if path.endswith("/messages") else self._credentials[:1]
        host, ours = url.netloc.decode("ascii"), (*headers, *key_headers)
        if isinstance(self._transport, FastTransport):
            data = encode_post(url.raw_path, host, ours, body)
            status, raw, stream = await self._transport.post(self._origin, data, self._limits)
            return PlainResponse(status, PlainHeaders(raw), stream)
        fields = [("host", host), ("content-length", str(len(body))), *ours]
        request = httpx.Request("POST", url, headers=fields, stream=httpx.ByteStream(body), extensions=self._extensions)
        return await self._transport.handle_async_request(request)

    async def _check_status(self, response: Response) -> None:
        status = response.status_code
        if status >= 400:
            await _discard(response)
            raise UpstreamStatus(status, _retry_after(response))
        if 300 <= status < 400:
            raise UpstreamError("the model server answered with a redirect, which is not followed")
        if status != 200:
            raise UpstreamMalformed(f"the model server answered with status {status}")
        if _single(response, "content-encoding") not in {"", "identity"}:
            raise UpstreamMalformed("the model server answered in a content coding that was not asked for")


def _base(url: str) -> httpx.URL:
    try:
        base = httpx.URL(url)
    except httpx.InvalidURL as fault:
        raise ValueError(f"not a URL: {fault}") from fault
    if base.scheme not in {"http", "https"} or not base.host or base.userinfo or base.query or base.fragment:
        raise ValueError("the address of a model server is http(s)://host[:port][/prefix], nothing more")
    if base.port is not None and not 1 <= base.port <= 65535:
        raise ValueError("the address of a model server has a port between 1 and 65535")
    if _PATH.fullmatch(base.path) is None or base.path.rstrip("/").endswith("/v1"):
        raise ValueError("the path prefix of a model server has only letters, digits and ._- and stops before /v1")
    return base


def _joined(base: httpx.URL, path: str) -> httpx.URL:
    if _PATH.fullmatch(path) is None:
        raise ValueError("upstream paths are constants of the dialects")
    return base.copy_with(path=base.path.rstrip("/") + path)


def _credentials(key: str | None) -> tuple[tuple[str, str], ...]:
    """The bearer, which every OpenAI-like server reads on all its routes, then the header that Anthropic's own route reads."""
    if key is None:
        return ()
    if not key or not all("!" <= letter <= "~" for letter in key):
        raise ValueError("an upstream key is visible ASCII")
    return (("authorization", f"Bearer {key}"), ("x-api-key", key))


def _trust(base: httpx.URL, ca: Path | None) -> ssl.SSLContext | None:
    if base.scheme == "http":
        return None
    try:
        return ssl.create_default_context(cafile=str(ca) if ca is not None else None)
    except OSError as fault:  # ssl.SSLError is one
        raise ValueError(f"not a readable PEM file of certificates: {ca}") from fault


def _timeouts(deadlines: Deadlines) -> dict[str, float]:
    return {
        "connect": deadlines.connect,
        "pool": deadlines.connect,
        "write": deadlines.idle,
        "first_byte": deadlines.first_byte,
        "read": deadlines.idle,
        "total": deadlines.total,
        "pace": deadlines.pace,
    }


def _single(response: Response, name: str) -> str:
    """The one value of a header in lower case, or empty. Raises UpstreamMalformed where it is repeated."""
    values = response.headers.get_list(name)
    if len(values) > 1:
        raise UpstreamMalformed(f"the model server repeated the header {name}")
    return values[0].strip().lower() if values else ""


def _content_type(response: Response) -> str:
    media = _single(response, "content-type").partition(";")[0].strip()
    if media and _MEDIA_TYPE.fullmatch(media) is None:
        raise UpstreamMalformed("the model server named no proper content type")
    return media


def _retry_after(response: Response) -> int | None:
    """Whole seconds, bounded; the date form and everything else is dropped."""
    value = response.headers.get("retry-after", "").strip()
    return min(int(value), RETRY_AFTER_MAX) if _DIGITS.fullmatch(value) else None


async def _close(response: Response) -> None:
    assert isinstance(response.stream, httpx.AsyncByteStream)
    await response.stream.aclose()


async def _discard(response: Response) -> None:
    """Throw an error body away within bounds. Nothing of it is kept, shown or logged."""
    assert isinstance(response.stream, httpx.AsyncByteStream)
    left = DISCARD_BYTES
    try:
        async with asyncio.timeout(DISCARD_SECONDS):
            async for data in response.stream:
                left -= len(data)
                if left < 0:
                    break
    except (TimeoutError, httpx.HTTPError):
        pass  # the status is the answer; a body that breaks off changes nothing about it
    await _close(response)


def _translated(fault: httpx.HTTPError, *, waiting_for: str) -> UpstreamError | Overloaded:
    """Our error for one of httpx's. Messages are constant: nothing that the server sent is in them."""
    match fault:
        case httpx.PoolTimeout():
            return Overloaded("every connection to the model server is in use")
        case httpx.TimeoutException():
            return UpstreamTimeout(f"the model server missed the {_deadline(fault, waiting_for)} deadline")
        case httpx.ConnectError():
            return UpstreamError("the model server cannot be reached")
        case httpx.RemoteProtocolError() | httpx.DecodingError():
            return UpstreamMalformed("the model server did not answer in proper HTTP")
        case httpx.LocalProtocolError() | httpx.UnsupportedProtocol():
            return UpstreamError("the request to the model server could not be written")
        case _:
            return UpstreamError("the connection to the model server broke off")


def _deadline(fault: httpx.TimeoutException, waiting_for: str) -> str:
    match fault:
        case TotalTimeout():
            return "total"
        case httpx.ConnectTimeout():
            return "connect"
        case httpx.WriteTimeout():
            return "write"
        case _:
            return waiting_for
