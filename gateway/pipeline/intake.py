"""The body of a request: what is refused unread, the memory it is given before a byte of it is read, and its digest."""

from __future__ import annotations

import hmac

from gateway.errors import TooLarge, UnsupportedMedia
from gateway.exchange import Caller
from gateway.limits import BODY_FACTOR, Limits, Reservation
from gateway.pipeline.ports import Inbound
from gateway.wire.base import JSON_TYPE


def reserve(inbound: Inbound, caller: Caller, limits: Limits) -> Reservation:
    """Memory for the exchange. Raises UnsupportedMedia, TooLarge, Overloaded; the body is unread then."""
    if inbound.media_type != JSON_TYPE:
        raise UnsupportedMedia(f"the content type must be {JSON_TYPE}")
    if inbound.coding not in {"", "identity"}:
        raise UnsupportedMedia("a coded body is not accepted: send it without content-encoding")
    return limits.reserve(caller, inbound.declared)


async def read(inbound: Inbound, reservation: Reservation, digest: hmac.HMAC) -> bytes:
    """The whole body. Raises TooLarge, Overloaded, ClientGone."""
    body, most = bytearray(), reservation.limits.body
    while data := await inbound.read():
        body += data
        digest.update(data)  # piece by piece: a whole body at once would hold the loop
        if len(body) > most:
            raise TooLarge(f"the body is over the limit of {most} bytes")
        if inbound.declared is None:
            reservation.grow(BODY_FACTOR * len(data))
    return bytes(body)
