"""A listener's identity while it runs: renewed when its files change, kept when what came cannot be used."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from support.certificates import Authority, Pair, authority

from gateway.app.rotation import Rotation
from gateway.metrics import PREFIX, Metrics, metrics
from gateway.settings.faults import ConfigInvalid
from gateway.settings.model import Tls


@pytest.fixture
def ca(tmp_path: Path) -> Authority:
    """An authority."""
    return authority(tmp_path)


@pytest.fixture
def counted() -> Metrics:
    """Metrics that have counted nothing."""
    return metrics()


def tls(pair: Pair) -> Tls:
    """Settings with these files."""
    return Tls(cert=pair.cert, key=pair.key)


def value(found: Metrics, name: str) -> float | None:
    """One sample of the data plane's listener."""
    return found.registry.get_sample_value(PREFIX + name, {"listener": "listen"})


def failures(found: Metrics) -> float:
    """How many renewals could not be used."""
    return value(found, "tls_reload_failures_total") or 0.0


async def test_a_renewed_pair_is_taken_over(ca: Authority, counted: Metrics) -> None:
    """New connections get a new context, the metric says when it expires, and whoever must know is told once."""
    pair, told = ca.server(), []
    rotation = Rotation("listen", tls(pair), counted)
    before = rotation.context()

    async def changed() -> None:
        told.append(rotation.identity.certificate)

    rotation.changed = changed
    await rotation.look()
    assert rotation.context() is before
    renewed = ca.server("renewed", ends=9)
    renewed.onto(pair)
    await rotation.look()
    await rotation.look()
    assert rotation.context() is not before
    assert told == [renewed.cert.read_text()]
    assert value(counted, "tls_certificate_expiry_timestamp_seconds") == rotation.identity.expires
    assert failures(counted) == 0


@pytest.mark.parametrize("how", ["half", "mismatch", "expired", "gone"])
async def test_what_cannot_be_used_is_counted_once_and_the_old_serves_on(
    ca: Authority, counted: Metrics, how: str
) -> None:
    """However often it looks; and it recovers by itself when the files are sound again."""
    pair = ca.server()
    rotation = Rotation("listen", tls(pair), counted)
    before, expires = rotation.context(), value(counted, "tls_certificate_expiry_timestamp_seconds")
    renewed = ca.server("renewed", ends=-0.5 if how == "expired" else 9)
    if how == "half":
        pair.cert.write_bytes(renewed.cert.read_bytes()[:100])
    elif how == "mismatch":
        pair.cert.write_bytes(renewed.cert.read_bytes())
    elif how == "gone":
        pair.key.unlink()
    else:
        renewed.onto(pair)
    for _ in range(3):
        await rotation.look()
        assert rotation.context() is before
    assert failures(counted) == 1
    assert value(counted, "tls_certificate_expiry_timestamp_seconds") == expires
    ca.server("third", ends=9).onto(pair)
    await rotation.look()
    assert rotation.context() is not before
    assert failures(counted) == 1


async def test_a_reload_says_what_is_wrong(ca: Authority, counted: Metrics, tmp_path: Path) -> None:
    """Other files may be named; where they cannot be used the fault is raised, counted, and the old ones are still watched."""
    pair = ca.server()
    rotation = Rotation("listen", tls(pair), counted)
    before = rotation.context()
    with pytest.raises(ConfigInvalid, match=r"listen\.tls\.cert"):
        await rotation.reload(Tls(cert=tmp_path / "none.pem", key=pair.key))
    assert failures(counted) == 1
    await rotation.look()
    assert rotation.context() is before
    other = ca.server("other", ends=9)
    await rotation.reload(tls(other))
    assert rotation.identity.certificate == other.cert.read_text()
    renewed = ca.server("renewed", ends=9)
    renewed.onto(other)
    await rotation.look()
    assert rotation.identity.certificate == renewed.cert.read_text()


def test_a_first_reading_that_fails_is_a_fault(ca: Authority, counted: Metrics, tmp_path: Path) -> None:
    """There is nothing older to go on with."""
    with pytest.raises(ConfigInvalid, match=r"admin\.tls\.key"):
        Rotation("admin", Tls(cert=ca.server().cert, key=tmp_path / "none.key"), counted)


async def test_it_watches_by_itself_whatever_happens(ca: Authority, counted: Metrics) -> None:
    """A change is taken over without anybody's doing, also after somebody who had to be told has failed."""
    pair = ca.server()
    rotation = Rotation("listen", tls(pair), counted)
    told = asyncio.Event()

    async def fails() -> None:
        told.set()
        raise OSError("no space left")

    rotation.changed = fails
    watching = asyncio.create_task(rotation.watch())
    async with asyncio.timeout(60):
        for label in ("one", "two"):
            renewed = ca.server(label, ends=9)
            renewed.onto(pair)
            while rotation.identity.certificate != renewed.cert.read_text():
                await told.wait()
                told.clear()
    watching.cancel()
    await asyncio.gather(watching, return_exceptions=True)
