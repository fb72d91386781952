"""The configuration's shape: every key, its type, its default and its meaning. The published JSON Schema is made from it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

UNITS = {"": 1, "B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}
DIALECTS = ("openai.chat", "anthropic.messages")


def _size(value: Any) -> Any:
    if isinstance(value, str):
        match = re.fullmatch(r"(\d{1,12})\s*([A-Za-z]*)", value.strip())
        if match is None or match[2] not in UNITS:
            raise ValueError("is not a size such as 8MiB (units: B, KiB, MiB, GiB)")
        return int(match[1]) * UNITS[match[2]]
    return value


def _address(value: Any) -> Any:
    if isinstance(value, str):
        host, colon, port = value.rpartition(":")
        if not (colon and host and port.isdigit() and int(port) < 65536):
            raise ValueError("is not an address such as 127.0.0.1:8080")
    return value


def _asl(value: Any) -> Any:
    """``asl-3`` or 3; anything else is not a level."""
    if isinstance(value, str) and (match := re.fullmatch(r"asl-([1-5])", value)):
        return int(match[1])
    if isinstance(value, str | bool):
        raise ValueError("is not a level: asl-1 to asl-5")  # noqa: TRY004  # pydantic takes ValueError as a finding
    return value


Size = Annotated[int, BeforeValidator(_size), Field(gt=0)]
Address = Annotated[str, BeforeValidator(_address)]
Asl = Annotated[int, BeforeValidator(_asl), Field(ge=1, le=5)]
Seconds = Annotated[float, Field(gt=0, le=86_400)]
Name = Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[A-Za-z0-9][A-Za-z0-9._:/@+-]*$")]


class Strict(BaseModel):
    """No unknown keys, no silent conversions, no changes after loading."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=False)


class Listener(Strict):
    """Where a plane listens."""

    address: Address = Field(description="host:port; port 0 takes a free one")


class LimitSettings(Strict):
    """What this replica may hold at once."""

    body: Size = Field(8 << 20, description="largest request body")
    answer: Size = Field(4 << 20, description="largest answer, in characters")
    in_flight: Size = Field(256 << 20, description="memory for all exchanges in flight; beyond it: 503")
    streams: Annotated[int, Field(ge=1)] = Field(2000, description="exchanges in flight; beyond it: 503")


class Deadlines(Strict):
    """Deadlines in seconds."""

    head: Seconds = Field(10, description="for a whole request head")
    body: Seconds = Field(30, description="for a body, plus one second for every 16 KiB of it")
    write: Seconds = Field(30, description="for a client that does not read")
    keep_alive: Seconds = Field(75, description="for an idle client connection")
    connect: Seconds = Field(5, description="for connecting to the model server")
    first_byte: Seconds = Field(300, description="for the model server's response head")
    idle: Seconds = Field(120, description="between two pieces of an answer")
    total: Seconds = Field(1800, description="for a whole answer")
    grace: Annotated[float, Field(ge=0)] = Field(1, description="after SIGTERM, not ready but still accepting")
    drain: Annotated[float, Field(ge=0)] = Field(30, description="after the grace, for exchanges in flight")


class Secret(Strict):
    """A secret by reference; never in the file itself."""

    env: str | None = Field(None, description="name of an environment variable")
    file: Path | None = Field(None, description="path of a file")


class UpstreamSettings(Strict):
    """The model server of a model."""

    url: Annotated[str, Field(pattern=r"^https?://[^/?#\s]+/?$")] = Field(
        description="scheme, host and port; paths are the dialects'"
    )
    key: Secret | None = Field(None, description="credential for the model server")
    ca: Path | None = Field(None, description="PEM file of the CA that signs the model server's certificate")
    socket: Path | None = Field(None, description="Unix socket to connect to instead of the host")
    dialects: tuple[str, ...] = Field(DIALECTS, description="APIs that the model server speaks")


class ModelSettings(Strict):
    """One served model."""

    name: Name = Field(description="canonical name; what the model server is told")
    aliases: tuple[Name, ...] = Field((), description="other exact names; nothing is guessed")
    asl: Asl = Field(description="declared level, until signed records exist")
    upstream: UpstreamSettings


class Settings(Strict):
    """The whole configuration."""

    listen: Listener = Listener(address="127.0.0.1:8080")
    admin: Listener = Listener(address="127.0.0.1:8081")
    state: Path = Field(Path("state"), description="directory of gateway.db, ledger/, operator.token, admin.json")
    hosts: tuple[str, ...] = Field((), description="values of Host that are served; any when empty")
    limits: LimitSettings = LimitSettings()
    deadlines: Deadlines = Deadlines()
    levels: Path | None = Field(None, description="directory of level files; the built-in ones without it")
    rules: Path | None = Field(None, description="directory of rule files")
    classifiers: bool = Field(
        default=True, description="false switches embedded classifiers off: for mechanics and benchmarks only"
    )
    models: Annotated[tuple[ModelSettings, ...], Field(min_length=1)]


def json_schema() -> dict[str, Any]:
    """The published JSON Schema of the configuration file."""
    return Settings.model_json_schema()
