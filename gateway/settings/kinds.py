"""What the settings of several rooms are made of: the strict base, and values that keep a promise."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, model_validator

Seconds = Annotated[float, Field(gt=0, le=86_400)]


def checked_origin(value: str) -> str:
    """Scheme, host and port without a slash behind. Raises ValueError."""
    try:
        parts = urlsplit(value)
        fits = parts.hostname and (parts.port is None or parts.port > 0) and parts.username is None
    except ValueError:
        fits = False
    if not fits or not re.fullmatch(r"https?://[^/?#\s@]+/?", value):
        raise ValueError("is not scheme, host and port such as http://127.0.0.1:9000; paths are the dialects'")
    return value.removesuffix("/")


class Strict(BaseModel):
    """No unknown keys, no silent conversions, no changes after loading."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class Secret(Strict):
    """A secret by reference; never in the file itself."""

    env: Annotated[str, Field(min_length=1)] | None = Field(None, description="name of an environment variable")
    file: Path | None = Field(None, description="path of a file")

    @model_validator(mode="after")
    def _one(self) -> Secret:
        if (self.env is None) == (self.file is None):
            raise ValueError("needs exactly one of env and file")
        return self
