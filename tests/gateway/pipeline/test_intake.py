"""The body of a request: refused unread where that can be told, given its memory before it is read, and digested as it comes."""

from __future__ import annotations

import hashlib
import hmac

import pytest
from support.pipelines import Client

from gateway.errors import GatewayError, Overloaded, TooLarge, UnsupportedMedia
from gateway.exchange import Caller
from gateway.limits import BASE, BODY_FACTOR, Limits
from gateway.pipeline.intake import read, reserve
from gateway.pipeline.ports import ClientGone

ME = Caller()
KEY = b"k" * 32


def limits(in_flight: int = 64 << 20, body: int = 100_000) -> Limits:
    """An empty budget."""
    return Limits(in_flight, body, 10)


@pytest.mark.parametrize(
    ("client", "error"),
    [
        (Client(b"{}", media_type="text/plain"), UnsupportedMedia),
        (Client(b"{}", coding="gzip"), UnsupportedMedia),
        (Client(b"x" * 100_001), TooLarge),
    ],
)
def test_what_can_be_told_from_the_head_is_refused_unread(client: Client, error: type[GatewayError]) -> None:
    """Nothing is reserved, and no byte of the body is taken."""
    budget, parts = limits(), len(client.parts)
    with pytest.raises(error):
        reserve(client, ME, budget)
    assert (budget.reserved, len(client.parts)) == (0, parts)


@pytest.mark.parametrize("chunked", [False, True])
async def test_the_whole_body_and_its_digest(*, chunked: bool) -> None:
    """Piece by piece as one; memory is there for all of it."""
    body = bytes(range(256)) * 300
    client, budget, digest = Client(body, chunked=chunked), limits(), hmac.new(KEY, digestmod=hashlib.sha256)
    reservation = reserve(client, ME, budget)
    assert reservation.size == BASE + (0 if chunked else BODY_FACTOR * len(body))
    assert await read(client, reservation, digest) == body
    assert reservation.size == BASE + BODY_FACTOR * len(body)
    assert digest.digest() == hmac.digest(KEY, body, "sha256")


async def test_a_chunked_body_ends_where_the_limit_is() -> None:
    """Over the limit it is refused at once, with the rest unread."""
    client = Client(b"x" * 200_000, chunked=True)
    reservation = reserve(client, ME, limits())
    with pytest.raises(TooLarge, match="limit of 100000"):
        await read(client, reservation, hmac.new(KEY, digestmod=hashlib.sha256))
    assert len(client.parts) > 20


async def test_a_chunked_body_without_room_is_refused() -> None:
    """Memory that is not there is a 503 in the middle of the body."""
    client = Client(b"x" * 90_000, chunked=True)
    reservation = reserve(client, ME, limits(in_flight=BASE + 100_000))
    with pytest.raises(Overloaded):
        await read(client, reservation, hmac.new(KEY, digestmod=hashlib.sha256))


async def test_a_client_that_leaves_in_its_body() -> None:
    """Told as such."""
    client = Client(b"x" * 9000)
    reservation = reserve(client, ME, limits())
    client.leave()
    with pytest.raises(ClientGone):
        await read(client, reservation, hmac.new(KEY, digestmod=hashlib.sha256))
