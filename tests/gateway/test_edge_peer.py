"""What a client's certificate proves, from real connections and from certificates that nobody issues."""

from __future__ import annotations

import ssl
from pathlib import Path
from time import time
from typing import Any

import pytest
from support.certificates import Authority, Pair, authority, fingerprint

from gateway.app.certificates import read_identity
from gateway.edge_peer import peer_of
from gateway.exchange import Certificate
from gateway.settings.model import Tls

END = "Jan  1 00:00:00 2100 GMT"
SPIFFE = "spiffe://prod.test/ns/apps/sa/chat"


@pytest.fixture
def ca(tmp_path: Path) -> Authority:
    """An authority."""
    return authority(tmp_path)


def agreed(ca: Authority, own: Pair | None, *, asks: bool = True) -> ssl.SSLObject:
    """The server's end of a connection, made in memory."""
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    pair = ca.server()
    server.load_cert_chain(pair.cert, pair.key)
    if asks:
        server.load_verify_locations(str(ca.file))
        server.verify_mode = ssl.CERT_OPTIONAL
    ours, _ = joined(server, ca.trusting(own))
    return ours


def joined(
    server: ssl.SSLContext, client: ssl.SSLContext, session: ssl.SSLSession | None = None
) -> tuple[ssl.SSLObject, ssl.SSLObject]:
    """Both ends of a connection, made in memory, over which a byte has gone."""
    up, down = ssl.MemoryBIO(), ssl.MemoryBIO()
    ours = server.wrap_bio(up, down, server_side=True)
    theirs = client.wrap_bio(down, up, server_hostname="localhost", session=session)
    for end in (theirs, ours) * 3:
        try:
            end.do_handshake()
        except ssl.SSLWantReadError:
            continue
    ours.write(b"x")
    assert theirs.read(1) == b"x"
    return ours, theirs


def test_a_certificate_is_evidence(ca: Authority) -> None:
    """Fingerprint, subject, issuer, names and the SPIFFE id are those of the certificate."""
    pair = ca.client("chat", SPIFFE)
    found = peer_of(agreed(ca, pair), time())
    assert found == Certificate(fingerprint(pair), "O=Test,CN=chat", "O=Test,CN=authority", ("chat.test",), (SPIFFE,))
    assert found.spiffe == SPIFFE


def test_without_one_there_is_no_evidence(ca: Authority) -> None:
    """Neither on plain HTTP, nor from a client that has none, nor from one that was not asked."""
    assert peer_of(None, 0.0) is None
    assert peer_of(agreed(ca, None), time()) is None
    assert peer_of(agreed(ca, ca.client(), asks=False), time()) is None


@pytest.mark.parametrize(
    "uris", [(), ("https://prod.test/",), (SPIFFE, SPIFFE + "2"), (SPIFFE, "https://prod.test/"), ("x" + SPIFFE,)]
)
def test_only_a_sole_uri_is_a_spiffe_id(ca: Authority, uris: tuple[str, ...]) -> None:
    """With two of them it is not told which one is meant, so none is."""
    found = peer_of(agreed(ca, ca.client("chat", *uris)), time())
    assert found is not None
    assert (found.uris, found.spiffe) == (uris, "")


class Odd:
    """A connection whose certificate says what this test wants."""

    def __init__(self, facts: Any) -> None:
        self._facts = facts

    def getpeercert(self, binary_form: bool = False) -> Any:
        """As ``ssl.SSLObject`` does."""
        if binary_form:
            return b"der"
        if isinstance(self._facts, Exception):
            raise self._facts
        return self._facts


def test_a_name_cannot_pretend_to_be_two() -> None:
    """What is syntax on the one line, and what would break the line, is escaped."""
    facts = {"subject": ((("commonName", "a,O=b\n"), ("title", "x+y")),), "issuer": (), "notAfter": END}
    found = peer_of(Odd(facts), time())
    assert found is not None
    assert (found.subject, found.issuer) == ("CN=a\\2CO\\3Db\\0A+title=x\\2By", "")


@pytest.mark.parametrize("facts", [UnicodeDecodeError("utf-8", b"\xff", 0, 1, "x"), ValueError("embedded NUL")])
def test_names_that_cannot_be_read_prove_nothing(facts: Exception) -> None:
    """The fingerprint is left."""
    found = peer_of(Odd(facts), time())
    assert found is not None
    assert found.fingerprint.startswith("sha256:")
    assert (found.subject, found.issuer, found.dns, found.uris, found.spiffe) == ("", "", (), (), "")


def test_what_was_not_verified_is_no_evidence() -> None:
    """A certificate that OpenSSL has not checked has no facts."""
    assert peer_of(Odd({}), time()) is None


def test_a_resumed_session_proves_nothing_once_its_certificate_has_expired(ca: Authority) -> None:
    """TLS 1.2 does not look at the certificate again; the edge does."""
    own = ca.client("chat", SPIFFE)
    pair = ca.server()
    identity = read_identity(Tls(cert=pair.cert, key=pair.key, client_ca=ca.file), "listen.tls")
    context = ca.trusting(own)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    ours, theirs = joined(identity.context, context)
    assert not ours.session_reused
    again, _ = joined(identity.context, context, theirs.session)
    assert again.session_reused
    now = peer_of(again, time())
    assert now is not None
    assert now == peer_of(ours, time())
    assert peer_of(again, time() + 3 * 86_400) is None


def test_with_tls_1_3_each_connection_proves_anew(ca: Authority) -> None:
    """There are no tickets where clients are asked who they are."""
    pair = ca.server()
    identity = read_identity(Tls(cert=pair.cert, key=pair.key, client_ca=ca.file), "listen.tls")
    context = ca.trusting(ca.client())
    _, theirs = joined(identity.context, context)
    again, _ = joined(identity.context, context, theirs.session)
    assert again.version() == "TLSv1.3"
    assert not again.session_reused
