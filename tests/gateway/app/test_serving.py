"""Listeners and servers."""

from __future__ import annotations

import signal

import pytest

from gateway.app.serving import ListenError, listen, server, url_of
from gateway.edge import EdgeProtocol


def test_port_0_takes_a_free_port_and_the_url_names_it() -> None:
    """Two listeners on port 0 have different URLs."""
    with listen("127.0.0.1:0") as one, listen("127.0.0.1:0") as two:
        assert url_of(one) == f"http://127.0.0.1:{one.getsockname()[1]}"
        assert url_of(one) != url_of(two)
        assert not one.getblocking()


def test_ipv6_addresses_have_brackets() -> None:
    """``[::1]:0`` is an address, and its URL is one too."""
    with listen("[::1]:0") as listener:
        assert url_of(listener).startswith("http://[::1]:")


@pytest.mark.parametrize("address", ["192.0.2.1:0", "256.1.1.1:0"])
def test_an_address_that_cannot_be_had_is_named(address: str) -> None:
    """Foreign and impossible addresses are a ListenError with the address."""
    with pytest.raises(ListenError, match=address):
        listen(address)


def test_an_address_in_use_is_named() -> None:
    """The second listener on a port is refused."""
    with listen("127.0.0.1:0") as one:
        address = url_of(one).removeprefix("http://")
        with pytest.raises(ListenError, match="in use"):
            listen(address)


def test_a_server_leaves_signals_alone() -> None:
    """Signals belong to the whole process, which drains before it ends its servers."""
    before = signal.getsignal(signal.SIGTERM)
    made = server(lambda: None, EdgeProtocol, 75.0, 30.0)
    with made.capture_signals():
        assert signal.getsignal(signal.SIGTERM) is before
    assert not made.config.access_log
    assert made.config.timeout_graceful_shutdown == 35
