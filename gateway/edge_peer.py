"""What a client's certificate proves, read from a TLS connection that has verified it. Never from headers."""

from __future__ import annotations

import hashlib
import re
import ssl
from typing import Any, Protocol

from gateway.exchange import Certificate

# Where the edge leaves it in the ASGI scope. Clients fill ``headers``, ``path`` and ``query_string``; they cannot name a key.
PEER = "asl_gateway.peer"

# OpenSSL's long names in the short form that people know; others stay as they are.
SHORT = {
    "commonName": "CN",
    "organizationName": "O",
    "organizationalUnitName": "OU",
    "countryName": "C",
    "stateOrProvinceName": "ST",
    "localityName": "L",
    "domainComponent": "DC",
    "userId": "UID",
}
SPECIAL = re.compile(r'[\\,+="<>;\x00-\x1f\x7f]')


class TlsConnection(Protocol):
    """The part of ``ssl.SSLObject`` that is needed."""

    def getpeercert(self, binary_form: bool = ...) -> Any:
        """The client's certificate: a mapping when it was verified, its DER form when asked for; nothing without one."""
        ...


def peer_of(connection: TlsConnection | None, now: float) -> Certificate | None:
    """The verified certificate of the client; None on plain HTTP and for a client that sent none.

    Names that cannot be read prove nothing: the fingerprint alone is left of them. Nor does a certificate that has expired (``now`` is
    in epoch seconds) since it was verified, which a resumed TLS 1.2 session can bring.
    """
    der = connection.getpeercert(binary_form=True) if connection is not None else None
    if connection is None or not der:
        return None
    fingerprint = "sha256:" + hashlib.sha256(der).hexdigest()
    try:
        facts = connection.getpeercert()
    except ValueError:
        return Certificate(fingerprint, "", "")
    if not facts:
        return None  # sent, but not verified: the listener did not ask for it
    if ssl.cert_time_to_seconds(facts["notAfter"]) <= now:
        return None
    names = facts.get("subjectAltName", ())
    return Certificate(
        fingerprint=fingerprint,
        subject=_name(facts.get("subject", ())),
        issuer=_name(facts.get("issuer", ())),
        dns=tuple(value for kind, value in names if kind == "DNS"),
        uris=tuple(value for kind, value in names if kind == "URI"),
    )


def _name(parts: Any) -> str:
    """A distinguished name on one line; what could be taken for its syntax, and control characters, are escaped."""
    return ",".join("+".join(f"{SHORT.get(kind, kind)}={_escaped(value)}" for kind, value in part) for part in parts)


def _escaped(value: str) -> str:
    return SPECIAL.sub(lambda match: f"\\{ord(match[0]):02X}", value)
