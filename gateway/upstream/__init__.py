"""The way to the model server: the only room on the request path that knows httpx and httptools."""

from __future__ import annotations

from gateway.upstream.client import Deadlines, Upstream, UpstreamAnswer
from gateway.upstream.pool import PoolLimits
from gateway.upstream.transport import FastTransport

__all__ = ["Deadlines", "FastTransport", "PoolLimits", "Upstream", "UpstreamAnswer"]
