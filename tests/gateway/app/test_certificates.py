"""TLS files are refused with the file and the key at fault, and a context from sound ones offers what it should."""

from __future__ import annotations

import ssl
from dataclasses import replace
from pathlib import Path
from time import time

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.certificates import Authority, Pair, authority, encrypted

from gateway.app.certificates import digest_of, faults_of, read_identity
from gateway.settings.faults import ConfigInvalid, Fault
from gateway.settings.load import load
from gateway.settings.model import Tls


@pytest.fixture
def ca(tmp_path: Path) -> Authority:
    """An authority."""
    return authority(tmp_path)


def tls(pair: Pair, **more: object) -> Tls:
    """Settings with these files."""
    return Tls.model_validate({"cert": pair.cert, "key": pair.key, **more})


def fault(given: Tls, now: float | None = None) -> tuple[str, str, str]:
    """The one fault of these files: file, key, message."""
    with pytest.raises(ConfigInvalid) as caught:
        read_identity(given, "listen.tls", now)
    (found,) = caught.value.faults
    return found.file, found.key, found.message


def test_sound_files_are_an_identity(ca: Authority) -> None:
    """The leaf, its end, and a context that speaks TLS 1.2 and 1.3 and asks nobody for a certificate."""
    pair = ca.server()
    found = read_identity(tls(pair), "listen.tls")
    assert found.certificate == pair.cert.read_text()
    assert time() + 86_400 < found.expires < time() + 3 * 86_400
    assert found.context.minimum_version is ssl.TLSVersion.TLSv1_2
    assert found.context.verify_mode is ssl.CERT_NONE
    old = [suite["name"] for suite in found.context.get_ciphers() if suite["protocol"] != "TLSv1.3"]
    assert old
    assert all(name.startswith("ECDHE-") and ("GCM" in name or "CHACHA20" in name) for name in old)


@pytest.mark.parametrize(("required", "mode"), [(True, ssl.CERT_REQUIRED), (False, ssl.CERT_OPTIONAL)])
def test_client_certificates_are_asked_for(ca: Authority, required: bool, mode: ssl.VerifyMode) -> None:
    """With a client_ca they are demanded, or looked at where they are not required; sessions are not resumed then."""
    found = read_identity(tls(ca.server(), client_ca=ca.file, client_required=required), "listen.tls")
    assert found.context.verify_mode is mode
    assert found.context.num_tickets == 0


@pytest.mark.parametrize("name", ["cert", "key", "client_ca"])
def test_a_file_that_is_missing_is_named(ca: Authority, tmp_path: Path, name: str) -> None:
    """With its key in the configuration."""
    missing = tmp_path / "none.pem"
    given = tls(ca.server(), **{name: missing})
    assert fault(given) == (str(missing), f"listen.tls.{name}", "cannot be read: No such file or directory")


@pytest.mark.parametrize(
    ("name", "words"),
    [("cert", "no certificate"), ("key", "no private key"), ("client_ca", "no certificate")],
)
@pytest.mark.parametrize("half", ["half", "empty", "noise"])
def test_a_half_written_file_is_named(ca: Authority, name: str, words: str, half: str) -> None:
    """Neither half a file, nor an empty one, nor something else passes."""
    pair = ca.server()
    path = {"cert": pair.cert, "key": pair.key, "client_ca": ca.file}[name]
    data = path.read_bytes()
    path.write_bytes({"half": data[: len(data) // 2], "empty": b"", "noise": b"\x00\xff" * 100}[half])
    file, key, message = fault(tls(pair, client_ca=ca.file))
    assert (file, key) == (str(path), f"listen.tls.{name}")
    assert words in message


def test_a_key_of_another_certificate_is_named(ca: Authority) -> None:
    """The pair is held against each other."""
    mixed = Pair(ca.server("one").cert, ca.server("two").key)
    file, key, message = fault(tls(mixed))
    assert (file, key) == (str(mixed.key), "listen.tls.key")
    assert message == f"is not the key of {mixed.cert}"


def test_an_encrypted_key_is_a_fault_and_no_question(ca: Authority) -> None:
    """Nobody is asked for a password on a terminal."""
    pair = ca.server()
    pair.key.write_bytes(encrypted(pair))
    file, key, message = fault(tls(pair))
    assert (file, key) == (str(pair.key), "listen.tls.key")
    assert "is encrypted" in message


@pytest.mark.parametrize(("begins", "ends", "words"), [(-3, -1, "expired on"), (1, 2, "is not valid before")])
def test_a_certificate_out_of_its_time_is_refused(ca: Authority, begins: float, ends: float, words: str) -> None:
    """Expired, or not yet valid: with the time."""
    pair = ca.server(begins=begins, ends=ends)
    file, key, message = fault(tls(pair))
    assert (file, key) == (str(pair.cert), "listen.tls.cert")
    assert words in message
    assert message.endswith("UTC")


def test_the_moment_of_expiry_is_too_late(ca: Authority) -> None:
    """A second earlier it still serves."""
    given = tls(ca.server())
    end = read_identity(given, "listen.tls").expires
    assert read_identity(given, "listen.tls", end - 1.0)
    assert "expired" in fault(given, float(end))[2]


def test_a_huge_file_is_not_read_in(ca: Authority, tmp_path: Path) -> None:
    """A log file named by mistake is a fault."""
    huge = tmp_path / "huge.pem"
    huge.write_bytes(b"x" * ((1 << 20) + 1))
    assert "larger than" in fault(tls(ca.server(), client_ca=huge))[2]


def test_the_digest_is_of_contents(ca: Authority) -> None:
    """It changes with each file, also when one goes; touching changes nothing."""
    pair = ca.server()
    given = tls(pair, client_ca=ca.file)
    seen = {digest_of(given)}
    pair.cert.touch()
    assert digest_of(given) in seen
    for path in (pair.cert, pair.key, ca.file):
        path.write_bytes(path.read_bytes() + b"\n")
        seen.add(digest_of(given))
    pair.key.unlink()
    seen.add(digest_of(given))
    assert len(seen) == 5


def test_all_faults_of_all_listeners_come_at_once(ca: Authority, tmp_path: Path) -> None:
    """Data plane and admin plane; without TLS there are none."""
    model = {"name": "m", "asl": 3, "upstream": {"url": "http://127.0.0.1:9"}}
    sound, gone = ca.server().settings, {"cert": str(tmp_path / "a"), "key": str(tmp_path / "b")}
    assert faults_of(load(None, {}, {"models": [model]})) == []
    assert faults_of(load(None, {}, {"models": [model], "listen": {"tls": sound}})) == []
    both = load(None, {}, {"models": [model], "listen": {"tls": gone}, "admin": {"tls": gone}})
    assert [found.key for found in faults_of(both)] == [
        "listen.tls.cert",
        "listen.tls.key",
        "admin.tls.cert",
        "admin.tls.key",
    ]


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    where=st.sampled_from(["cert", "key"]),
    at=st.integers(0, 4000),
    cut=st.integers(0, 200),
    new=st.binary(max_size=60)
    | st.sampled_from([b"-----BEGIN CERTIFICATE-----\n", b"-----END PRIVATE KEY-----\n", b"\x00"]),
)
def test_any_damage_is_an_identity_or_a_named_fault(
    damaged: tuple[Pair, Pair], where: str, at: int, cut: int, new: bytes
) -> None:
    """Half-written, mixed up or rotten files: an identity all the same, or faults with file and key; never another exception."""
    sound, spoilt = damaged
    for name in ("cert", "key"):
        data = getattr(sound, name).read_bytes()
        place = at % (len(data) + 1)
        getattr(spoilt, name).write_bytes(data[:place] + new + data[place + cut :] if name == where else data)
    faults: list[Fault] = []
    try:
        certificate = read_identity(tls(spoilt), "listen.tls").certificate
    except ConfigInvalid as error:
        certificate, faults = "", error.faults
    assert bool(faults) is not ("BEGIN CERTIFICATE" in certificate)
    assert {one.file for one in faults} <= {str(spoilt.cert), str(spoilt.key)}
    assert all(one.key.startswith("listen.tls") for one in faults)


@pytest.fixture
def damaged(ca: Authority, tmp_path: Path) -> tuple[Pair, Pair]:
    """A sound pair, and the names of the files that a test spoils."""
    sound = ca.server()
    return sound, replace(sound, cert=tmp_path / "spoilt.pem", key=tmp_path / "spoilt.key")
