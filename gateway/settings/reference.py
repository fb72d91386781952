"""What is published about the configuration: JSON Schemas for editors, and the reference of every key as Markdown."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from gateway.settings.levels import LevelFile
from gateway.settings.model import UNITS, Settings
from gateway.settings.rules import RuleList

Kind = Literal["settings", "level", "rules"]
MODELS: dict[Kind, type[BaseModel]] = {
    "settings": Settings,
    "level": LevelFile,
    "rules": RuleList,
}


def json_schema(kind: Kind = "settings") -> dict[str, Any]:
    """The published JSON Schema (2020-12) of a kind of file."""
    schema = MODELS[kind].model_json_schema()
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}


def config_reference() -> str:
    """Every key of the configuration with default and meaning, as a Markdown table."""
    rows = ["| key | default | meaning |", "|---|---|---|"]
    rows += [f"| `{key}` | {_default(info)} | {info.description} |" for key, info in keys()]
    return "\n".join(rows) + "\n"


def keys() -> Iterator[tuple[str, FieldInfo]]:
    """Every key that holds a value, dotted; ``[]`` stands for each item of a list."""
    yield from _keys(Settings, "")


def _keys(model: type[BaseModel], prefix: str) -> Iterator[tuple[str, FieldInfo]]:
    for name, info in model.model_fields.items():
        inner, many = _inner(info.annotation)
        key = f"{prefix}{name}{'[]' if many else ''}"
        if inner is None:
            yield key, info
        else:
            yield from _keys(inner, f"{key}.")


def _inner(annotation: Any) -> tuple[type[BaseModel] | None, bool]:
    """The model that an annotation holds, if any, and whether it holds many."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation, False
    for part in get_args(annotation):
        found, _ = _inner(part)
        if found is not None:
            return found, get_origin(annotation) is tuple
    return None, False


def _default(info: FieldInfo) -> str:
    if info.is_required():
        return "required"
    value = info.default
    if value is None or value == ():
        return "none"
    if isinstance(value, tuple):
        return ", ".join(f"`{item}`" for item in value)
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    sized = isinstance(value, int) and value >= UNITS["KiB"] and value % UNITS["MiB"] == 0
    return f"`{value // UNITS['MiB']}MiB`" if sized else f"`{value}`"
