"""What is published about the configuration: JSON Schemas for editors, and the reference of every key as Markdown."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import NoneType
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

from pydantic import BaseModel

from gateway.settings.kinds import Seconds
from gateway.settings.levels import LevelFile
from gateway.settings.model import UNITS, Address, Asl, Host, Name, Pause, Settings, Size
from gateway.settings.rules import RuleList

Kind = Literal["settings", "level", "rules"]
MODELS: dict[Kind, type[BaseModel]] = {"settings": Settings, "level": LevelFile, "rules": RuleList}

# What people call the types of values.
TYPES: tuple[tuple[Any, str], ...] = (
    (Size, "size"),
    (Address, "host:port"),
    (Asl, "level"),
    (Seconds, "seconds"),
    (Pause, "seconds"),
    (Name, "name"),
    (Host, "host"),
    (Path, "path"),
    (bool, "true or false"),
    (int, "number"),
    (float, "number"),
    (str, "text"),
)


@dataclass(frozen=True, slots=True)
class Key:
    """One key that holds a value; ``[]`` in its name stands for each item of a list."""

    name: str
    type: str
    default: str
    meaning: str


def json_schema(kind: Kind = "settings") -> dict[str, Any]:
    """The published JSON Schema (2020-12) of a kind of file."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **MODELS[kind].model_json_schema()}


def published(kind: Kind = "settings") -> str:
    """The schema as it stands in ``config/*.schema.json``."""
    return json.dumps(json_schema(kind), indent=2, sort_keys=True) + "\n"


def config_reference() -> str:
    """Every key of the configuration with type, default and meaning, as a Markdown table."""
    rows = ["| key | type | default | meaning |", "|---|---|---|---|"]
    rows += [f"| `{key.name}` | {key.type} | {key.default} | {key.meaning} |" for key in keys()]
    return "\n".join(rows) + "\n"


def keys() -> tuple[Key, ...]:
    """Every key that holds a value."""
    return tuple(_keys(Settings, "", None))


def _keys(model: type[BaseModel], prefix: str, given: BaseModel | None) -> Iterator[Key]:
    """``given``: the value that stands where the whole of this model is left out; its parts are the defaults then."""
    hints = get_type_hints(model, include_extras=True)
    for name, info in model.model_fields.items():
        inner, many = _inner(info.annotation)
        key = f"{prefix}{name}{'[]' if many else ''}"
        default = getattr(given, name) if given is not None else info.get_default(call_default_factory=True)
        if inner is not None:
            yield from _keys(inner, f"{key}.", default if isinstance(default, inner) else None)
        else:
            required = given is None and info.is_required()
            shown = "required" if required else _shown(default, hints[name])
            yield Key(key, _type(hints[name]), shown, info.description or "")


def _inner(annotation: Any) -> tuple[type[BaseModel] | None, bool]:
    """The model that an annotation holds, if any, and whether it holds many."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation, False
    for part in get_args(annotation):
        found, _ = _inner(part)
        if found is not None:
            return found, get_origin(annotation) is tuple
    return None, False


def _type(hint: Any) -> str:
    named = next((word for known, word in TYPES if known is hint), None)
    parts = [part for part in get_args(hint) if part not in {NoneType, ...}]
    if named is not None:
        return named
    if get_origin(hint) is Annotated:
        return _type(parts[0])
    if get_origin(hint) is Literal:
        return " or ".join(f"`{part}`" for part in parts)
    if get_origin(hint) is tuple:
        return f"list of {_type(parts[0])}"
    if get_origin(hint) is dict:
        return f"mapping of {_type(parts[0])} to {_type(parts[1])}"
    return " or ".join(map(_type, parts))


def _shown(value: Any, hint: Any) -> str:
    if value is None or value in ((), "", {}):
        return "none"
    if isinstance(value, tuple):
        return ", ".join(f"`{item}`" for item in value)
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    return f"`{_sized(value)}`" if hint is Size else f"`{value}`"


def _sized(value: int) -> str:
    """A size in the largest unit that holds it whole."""
    unit = next(unit for unit in reversed(UNITS) if value % UNITS[unit] == 0)
    return f"{value // UNITS[unit]}{unit}"
