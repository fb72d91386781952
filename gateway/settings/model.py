"""The configuration's shape: every key, its type, its default and its meaning. Schema and reference are made from it."""

from __future__ import annotations

import ipaddress
import re
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema, model_validator

from gateway.settings.guards import GuardSettings
from gateway.settings.kinds import Seconds, Secret, Strict, checked_origin

UNITS = {"": 1, "B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}
SIZE = r"([0-9]{1,12})\s*([A-Za-z]*)"

DialectId = Literal["openai.chat", "anthropic.messages"]
DIALECTS: tuple[DialectId, ...] = get_args(DialectId)


def _size(value: Any) -> Any:
    if isinstance(value, str):
        match = re.fullmatch(SIZE, value.strip())
        if match is None or match[2] not in UNITS:
            raise ValueError("is not a size such as 8MiB (units: B, KiB, MiB, GiB)")
        return int(match[1]) * UNITS[match[2]]
    return value


def _address(value: Any) -> Any:
    if isinstance(value, str):
        host, _, port = value.rpartition(":")
        bare = host[1:-1] if host.startswith("[") and host.endswith("]") else host.replace(":", "/")
        if not re.fullmatch(r"[0-9A-Za-z.:_-]+", bare) or not re.fullmatch(r"[0-9]{1,5}", port) or int(port) > 65535:
            raise ValueError("is not an address such as 127.0.0.1:8080 or [::1]:8080")
    return value


def is_loopback(host: str) -> bool:
    """Whether an address or name, with or without brackets, is this machine's own. Names but ``localhost`` are not looked up."""
    try:
        return host == "localhost" or ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def _asl(value: Any) -> Any:
    """``asl-3`` or 3; anything else is not a level."""
    if isinstance(value, str) and (match := re.fullmatch(r"asl-([1-5])", value)):
        return int(match[1])
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= 5:
        raise ValueError("is not a level: asl-1 to asl-5")
    return value


Size = Annotated[
    int,
    BeforeValidator(_size),
    Field(gt=0),
    WithJsonSchema({"anyOf": [{"type": "integer", "exclusiveMinimum": 0}, {"type": "string", "pattern": f"^{SIZE}$"}]}),
]
Address = Annotated[str, BeforeValidator(_address)]
Asl = Annotated[
    int,
    BeforeValidator(_asl),
    WithJsonSchema(
        {"anyOf": [{"type": "integer", "minimum": 1, "maximum": 5}, {"enum": [f"asl-{n}" for n in range(1, 6)]}]}
    ),
]
Pause = Annotated[float, Field(ge=0, le=86_400)]
Name = Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[A-Za-z0-9][A-Za-z0-9._:/@+-]*$")]
Host = Annotated[str, Field(pattern=r"^[0-9A-Za-z._:\[\]-]+$", max_length=255)]


class Tls(Strict):
    """TLS of a listener. The files are read again when they change; connections that are open keep what they began with."""

    cert: Path = Field(description="PEM file of the certificate, then its intermediates")
    key: Path = Field(description="PEM file of its private key, not encrypted")
    client_ca: Path | None = Field(None, description="PEM file of the CAs whose client certificates are accepted")
    client_required: bool = Field(
        default=True, description="with client_ca: whether a client without a certificate is refused"
    )


class Listener(Strict):
    """Where a plane listens."""

    address: Address = Field(description="host:port; port 0 takes a free one")


class DataListener(Listener):
    """The data plane."""

    address: Address = Field("127.0.0.1:8080", description="host:port; port 0 takes a free one")
    tls: Tls | None = Field(None, description="TLS; plain HTTP without it")


class AdminListener(Listener):
    """The admin plane. Its operator token crosses the network in clear only where somebody says that it may."""

    address: Address = Field("127.0.0.1:8081", description="host:port; port 0 takes a free one")
    tls: Tls | None = Field(None, description="TLS; required off loopback, unless plaintext")
    plaintext: bool = Field(
        default=False, description="allows an address off loopback without TLS: tokens cross the network in clear"
    )

    @model_validator(mode="after")
    def _sealed(self) -> AdminListener:
        if self.tls is None and not self.plaintext and not is_loopback(self.address.rpartition(":")[0]):
            raise ValueError("off loopback needs tls: {cert, key}, or plaintext: true if tokens may be read on the way")
        return self


class LimitSettings(Strict):
    """What this replica may hold at once."""

    body: Size = Field(8 << 20, description="largest request body")
    answer: Size = Field(4 << 20, description="largest answer, in characters")
    in_flight: Size = Field(256 << 20, description="memory for all exchanges in flight; beyond it: 503")
    streams: Annotated[int, Field(ge=1)] = Field(2000, description="exchanges in flight; beyond it: 503")
    handshakes: Annotated[int, Field(ge=1)] = Field(
        256, description="TLS handshakes in progress on a listener; beyond it the oldest is cut"
    )
    waiting: Annotated[int, Field(ge=1)] = Field(
        2000, description="connections that are idle or still send their head; beyond it the oldest of them is closed"
    )


class Deadlines(Strict):
    """Deadlines in seconds."""

    handshake: Seconds = Field(10, description="for a TLS handshake")
    head: Seconds = Field(10, description="for a whole request head")
    body: Seconds = Field(30, description="for a body, plus one second for every 16 KiB of it")
    write: Seconds = Field(30, description="for a client that does not read")
    keep_alive: Seconds = Field(75, description="for an idle client connection")
    connect: Seconds = Field(5, description="for connecting to the model server")
    first_byte: Seconds = Field(300, description="for the model server's response head")
    idle: Seconds = Field(120, description="between two pieces of an answer")
    total: Seconds = Field(1800, description="for a whole answer")
    grace: Pause = Field(1, description="after SIGTERM, not ready but still accepting")
    drain: Pause = Field(30, description="after the grace, for exchanges in flight")


class LedgerSettings(Strict):
    """The record of decisions on disk."""

    segment_age: Seconds = Field(86_400, description="a segment this old, or of 64 MiB, is sealed and compressed")
    max_bytes: Size | None = Field(
        None, description="what all chains may hold; thresholds are fractions of it then, of the disk without it"
    )
    verify_every: Seconds = Field(86_400, description="between two verifications of every row, in the background")
    prune: Literal["none", "expired", "shipped"] = Field(
        "expired",
        description="what goes by itself after a verification: nothing, expired segments, or shipped ones too",
    )


class UpstreamSettings(Strict):
    """The model server of a model."""

    url: Annotated[str, AfterValidator(checked_origin)] = Field(
        description="scheme, host and port; paths are the dialects'"
    )
    key: Secret | None = Field(None, description="credential for the model server")
    ca: Path | None = Field(None, description="PEM file of the CA that signs the model server's certificate")
    socket: Path | None = Field(None, description="Unix socket to connect to instead of the host")
    dialects: Annotated[tuple[DialectId, ...], Field(min_length=1)] = Field(
        DIALECTS, description="APIs that the model server speaks"
    )


class ModelSettings(Strict):
    """One served model."""

    name: Name = Field(description="canonical name; what the model server is told")
    aliases: tuple[Name, ...] = Field((), description="other exact names; nothing is guessed")
    upstream: UpstreamSettings = Field(description="its model server")
    asl: Asl = Field(description="declared level, both standards: asl-1 to asl-5; until signed records exist")


class Settings(Strict):
    """The whole configuration."""

    listen: DataListener = Field(DataListener(), description="data plane: what clients talk to")
    admin: AdminListener = Field(AdminListener(), description="admin plane: API, metrics, health")
    probes: Listener | None = Field(None, description="/livez and /readyz alone, in plain HTTP: for kubelets")
    state: Path = Field(
        Path("state"), description="directory of gateway.db, ledger/, operator.token, metrics.token, admin.json"
    )
    store: Literal["sqlite"] = Field("sqlite", description="shared state: gateway.db in the state directory")
    hosts: tuple[Host, ...] = Field((), description="values of Host that are served; any when empty")
    limits: LimitSettings = Field(LimitSettings(), description="what this replica may hold at once")
    deadlines: Deadlines = Field(Deadlines(), description="deadlines in seconds")
    ledger: LedgerSettings = Field(LedgerSettings(), description="the record of decisions on disk")
    levels: Path | None = Field(None, description="directory of level files, at least as strict as the built-in ones")
    rules: Path | None = Field(None, description="directory of rule files; no rules from files without it")
    classifiers: bool = Field(
        default=True, description="false switches embedded classifiers off: for mechanics and benchmarks only"
    )
    screeners: Literal["auto"] | Annotated[int, Field(ge=0, le=64)] = Field(
        "auto",
        description="processes that run the classifiers, 0 for two threads of the gateway; auto: one less than the usable "
        "cores (affinity and cgroup quota), at most 4, from 4 cores on, else 0; about 120 MB each; a change needs a restart",
    )
    guards: tuple[GuardSettings, ...] = Field((), description="guard models that level files name as controls")
    models: Annotated[tuple[ModelSettings, ...], Field(min_length=1)] = Field(description="served models")
