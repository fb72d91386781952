"""TLS files into a context that serves: read together, held against each other, refused with the file and the key at fault."""

from __future__ import annotations

import hashlib
import ssl
from dataclasses import dataclass
from pathlib import Path
from time import time

from gateway.settings.faults import ConfigInvalid, Fault
from gateway.settings.model import Settings, Tls

# TLS 1.2 suites with forward secrecy and authenticated encryption; TLS 1.3 has no others.
CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20"
LARGEST_FILE = 1 << 20


@dataclass(frozen=True, slots=True)
class Identity:
    """What a listener presents and demands, from one reading of its files."""

    context: ssl.SSLContext
    expires: int  # epoch seconds
    certificate: str  # the leaf in PEM, by which the command line knows the admin plane
    digest: str  # of all files


def digest_of(tls: Tls) -> str:
    """A digest over the contents of all files of a listener; differs when any of them changes, goes or comes."""
    found = hashlib.sha256()
    for path in _files(tls).values():
        try:
            data = path.read_bytes()
        except OSError as error:
            data = f"unreadable: {error.errno}".encode()
        found.update(len(data).to_bytes(8, "big") + data)
    return found.hexdigest()


def read_identity(tls: Tls, key: str, now: float | None = None) -> Identity:
    """Read and check the files of a listener; ``key`` is its place in the configuration (``listen.tls``).

    Blocks. Raises ConfigInvalid with the file and the key of every fault.
    """
    before = digest_of(tls)
    if faults := _unreadable(tls, key):
        raise ConfigInvalid(faults)
    try:
        leaf, expires = _leaf(tls.cert, f"{key}.cert", time() if now is None else now)
        context = _context(tls, key)
    except ConfigInvalid:
        # Only the truth about files that stand still is of use.
        _steady(tls, key, before)
        raise
    _steady(tls, key, before)
    return Identity(context, expires, leaf, before)


def faults_of(settings: Settings) -> list[Fault]:
    """Every fault in the TLS files that the settings name."""
    found: list[Fault] = []
    for key, tls in (("listen.tls", settings.listen.tls), ("admin.tls", settings.admin.tls)):
        try:
            if tls is not None:
                read_identity(tls, key)
        except ConfigInvalid as error:
            found += error.faults
    return found


def _files(tls: Tls) -> dict[str, Path]:
    named = {"cert": tls.cert, "key": tls.key, "client_ca": tls.client_ca}
    return {name: path for name, path in named.items() if path is not None}


def _steady(tls: Tls, key: str, before: str) -> None:
    if digest_of(tls) != before:
        raise ConfigInvalid([Fault(str(tls.cert), 0, 0, key, "changed while it was read")])


def _unreadable(tls: Tls, key: str) -> list[Fault]:
    found = []
    for name, path in _files(tls).items():
        try:
            if path.stat().st_size > LARGEST_FILE:
                found.append(Fault(str(path), 0, 0, f"{key}.{name}", f"is larger than {LARGEST_FILE} bytes"))
            path.read_bytes()
        except OSError as error:
            found.append(Fault(str(path), 0, 0, f"{key}.{name}", f"cannot be read: {error.strerror}"))
    return found


def _leaf(path: Path, key: str, now: float) -> tuple[str, int]:
    """The first certificate in PEM, and when it expires."""
    from cryptography import x509  # 8 MB that plain HTTP need not hold
    from cryptography.hazmat.primitives.serialization import Encoding

    try:
        leaf = x509.load_pem_x509_certificates(path.read_bytes())[0]
        begins, ends = leaf.not_valid_before_utc, leaf.not_valid_after_utc
    except (ValueError, OSError) as error:
        raise ConfigInvalid([Fault(str(path), 0, 0, key, "holds no certificate in PEM")]) from error
    if now >= ends.timestamp():
        raise ConfigInvalid([Fault(str(path), 0, 0, key, f"expired on {ends:%Y-%m-%d %H:%M:%S} UTC")])
    if now < begins.timestamp():
        raise ConfigInvalid([Fault(str(path), 0, 0, key, f"is not valid before {begins:%Y-%m-%d %H:%M:%S} UTC")])
    return leaf.public_bytes(Encoding.PEM).decode("ascii"), int(ends.timestamp())


def _context(tls: Tls, key: str) -> ssl.SSLContext:
    """A fresh context, never a changed one: OpenSSL keeps half of a pair that does not match."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(CIPHERS)
    context.set_alpn_protocols(["http/1.1"])
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
    try:
        context.load_cert_chain(tls.cert, tls.key, password=_no_password)
    except (ssl.SSLError, OSError, ValueError) as error:
        raise ConfigInvalid([_pair_fault(tls, key, error)]) from error
    if tls.client_ca is not None:
        _ask_clients(context, tls, tls.client_ca, key)
    return context


def _no_password() -> str:
    """Without it OpenSSL would ask for a password on the terminal."""
    raise ValueError("the key is encrypted")


def _pair_fault(tls: Tls, key: str, error: Exception) -> Fault:
    if getattr(error, "reason", None) == "KEY_VALUES_MISMATCH":
        return Fault(str(tls.key), 0, 0, f"{key}.key", f"is not the key of {tls.cert}")
    if isinstance(error, ValueError) and not isinstance(error, ssl.SSLError):
        return Fault(str(tls.key), 0, 0, f"{key}.key", "is encrypted; give a key without a password")
    if getattr(error, "reason", None) in {"EE_KEY_TOO_SMALL", "CA_MD_TOO_WEAK", "CA_KEY_TOO_SMALL"}:
        return Fault(str(tls.cert), 0, 0, f"{key}.cert", f"is too weak to be used ({error})")
    return Fault(str(tls.key), 0, 0, f"{key}.key", f"holds no private key in PEM that fits {tls.cert}")


def _ask_clients(context: ssl.SSLContext, tls: Tls, ca: Path, key: str) -> None:
    """Ask for client certificates. Without tickets a client proves anew on each connection who it is; only TLS 1.2 can still resume
    a session, which the edge holds against the certificate's end."""
    try:
        context.load_verify_locations(cafile=str(ca))
    except (ssl.SSLError, OSError) as error:
        raise ConfigInvalid([Fault(str(ca), 0, 0, f"{key}.client_ca", "holds no certificate in PEM")]) from error
    context.verify_mode = ssl.CERT_REQUIRED if tls.client_required else ssl.CERT_OPTIONAL
    context.options |= ssl.OP_NO_TICKET
    context.num_tickets = 0
