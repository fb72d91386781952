"""Certificates as operators have them: authorities that issue pairs of PEM files, sound, expired, early, for servers and clients."""

from __future__ import annotations

import datetime as dt
import ipaddress
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

PEM = serialization.Encoding.PEM
CLIENT = ExtendedKeyUsageOID.CLIENT_AUTH
SERVER = ExtendedKeyUsageOID.SERVER_AUTH


@dataclass(frozen=True)
class Pair:
    """A certificate and its key as files."""

    cert: Path
    key: Path

    @property
    def settings(self) -> dict[str, str]:
        """As the configuration takes them."""
        return {"cert": str(self.cert), "key": str(self.key)}

    def onto(self, other: Pair) -> None:
        """Put this pair where the other one is, as an operator renews a certificate."""
        for mine, theirs in ((self.key, other.key), (self.cert, other.cert)):
            fresh = theirs.with_name(f"{theirs.name}.new")
            fresh.write_bytes(mine.read_bytes())
            fresh.replace(theirs)


@dataclass(frozen=True)
class Authority:
    """An authority; ``file`` is its own certificate."""

    directory: Path
    name: x509.Name
    key: ec.EllipticCurvePrivateKey
    file: Path

    def server(self, label: str = "server", **more: Any) -> Pair:
        """A pair for loopback."""
        names = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.IPv4Address("127.0.0.1"))]
        return self._issue(label, more.pop("names", names), SERVER, **more)

    def client(self, label: str = "client", *uris: str, **more: Any) -> Pair:
        """A pair for a client that bears these URIs."""
        names = [x509.DNSName(f"{label}.test"), *map(x509.UniformResourceIdentifier, uris)]
        return self._issue(label, names, CLIENT, **more)

    def _issue(
        self, label: str, names: list[x509.GeneralName], use: x509.ObjectIdentifier, begins: float = -1, ends: float = 2
    ) -> Pair:
        """``begins`` and ``ends`` are days from now."""
        key = ec.generate_private_key(ec.SECP256R1())
        found = _draft(_named(label), self.name, key, begins, ends)
        found = found.add_extension(x509.SubjectAlternativeName(names), critical=False)
        found = found.add_extension(x509.ExtendedKeyUsage([use]), critical=False)
        issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key())
        found = found.add_extension(issuer, critical=False)
        pair = Pair(self.directory / f"{label}.pem", self.directory / f"{label}.key")
        pair.cert.write_bytes(found.sign(self.key, hashes.SHA256()).public_bytes(PEM))
        pair.key.write_bytes(_private(key))
        return pair

    def trusting(self, own: Pair | None = None) -> ssl.SSLContext:
        """A client that trusts this authority alone, and shows its own certificate if it has one."""
        context = ssl.create_default_context(cafile=str(self.file))
        if own is not None:
            context.load_cert_chain(own.cert, own.key)
        return context


def authority(directory: Path, label: str = "authority") -> Authority:
    """A new authority with files in the directory."""
    directory.mkdir(parents=True, exist_ok=True)
    key, name = ec.generate_private_key(ec.SECP256R1()), _named(label)
    usage = dict.fromkeys(
        (
            "content_commitment",
            "key_encipherment",
            "data_encipherment",
            "key_agreement",
            "encipher_only",
            "decipher_only",
        ),
        False,
    )
    made = (
        _draft(name, name, key, -2, 3)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(
            x509.KeyUsage(digital_signature=False, key_cert_sign=True, crl_sign=True, **usage), critical=True
        )
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    file = directory / f"{label}-ca.pem"
    file.write_bytes(made.public_bytes(PEM))
    return Authority(directory, name, key, file)


def fingerprint(pair: Pair) -> str:
    """The SHA-256 fingerprint as the ledger has it."""
    return "sha256:" + x509.load_pem_x509_certificate(pair.cert.read_bytes()).fingerprint(hashes.SHA256()).hex()


def encrypted(pair: Pair) -> bytes:
    """The key of a pair under a password."""
    key = serialization.load_pem_private_key(pair.key.read_bytes(), None)
    form = serialization.PrivateFormat.PKCS8
    return key.private_bytes(PEM, form, serialization.BestAvailableEncryption(b"password"))


def _named(label: str) -> x509.Name:
    return x509.Name(
        [x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Test"), x509.NameAttribute(NameOID.COMMON_NAME, label)]
    )


def _private(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())


def _draft(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey, begins: float, ends: float
) -> x509.CertificateBuilder:
    now = dt.datetime.now(dt.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + dt.timedelta(days=begins))
        .not_valid_after(now + dt.timedelta(days=ends))
    )
