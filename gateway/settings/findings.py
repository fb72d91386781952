"""Checking documents against models: pydantic's findings, in plain words, at their places, with what was probably meant."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, ValidationError

from gateway.settings.documents import Document, Loc
from gateway.settings.faults import ConfigInvalid, Fault, closest

Model = TypeVar("Model", bound=BaseModel)

# pydantic's words for what people do wrong most often, said plainly.
WORDS = {
    "extra_forbidden": "unknown key",
    "missing": "is missing",
    "model_type": "is not a mapping",
    "dict_type": "is not a mapping",
    "tuple_type": "is not a list",
    "int_type": "is not a whole number",
    "float_type": "is not a number",
    "bool_type": "is neither true nor false",
    "string_type": "is not text",
    "path_type": "is not a path",
    "too_short": "is empty",
    "string_pattern_mismatch": "has characters that do not belong there",
}


def validate(model: type[Model], document: Document) -> Model:
    """Check a document against a model, without silent conversions. Raises ConfigInvalid with every finding at its place."""
    faults = list(document.faults)
    try:
        # JSON is the mode in which pydantic is strict about kinds and still takes lists for tuples and text for dates.
        checked = model.model_validate_json(json.dumps(document.data, default=str), strict=True)
    except ValidationError as error:
        broken = {fault.key for fault in faults}
        # pydantic also calls a list too short whose items are all at fault.
        real = [
            found for found in error.errors(include_url=False) if found["type"] != "too_short" or not found["input"]
        ]
        findings = [_finding(model, document, dict(found)) for found in real]
        # A value that could not even be read is reported once.
        raise ConfigInvalid(ordered([*faults, *(fault for fault in findings if fault.key not in broken)])) from error
    if faults:
        raise ConfigInvalid(ordered(faults))
    return checked


def ordered(faults: Iterable[Fault]) -> list[Fault]:
    """Faults without doubles, in the order in which a reader meets them."""
    return sorted(dict.fromkeys(faults), key=lambda fault: (fault.file, fault.line, fault.column, fault.key))


def _finding(model: type[BaseModel], document: Document, found: dict[str, Any]) -> Fault:
    loc: Loc = tuple(part for part in found["loc"] if part != "[key]")
    message = WORDS.get(found["type"], str(found["msg"]).removeprefix("Value error, "))
    return document.fault(loc, message, _suggestion(model, loc, found))


def _suggestion(model: type[BaseModel], loc: Loc, found: dict[str, Any]) -> str:
    if found["type"] == "extra_forbidden":
        return closest(str(loc[-1]), _fields(model, loc[:-1]))
    if found["type"] in {"literal_error", "enum"} and isinstance(found["input"], str):
        return closest(found["input"], re.findall(r"'([^']*)'", found["ctx"]["expected"]))
    return ""


def _fields(model: type[BaseModel], loc: Loc) -> Sequence[str]:
    """The keys that are known where a location leads."""
    annotation = annotation_at(model, loc)
    return tuple(name for found in _models(annotation) for name in found.model_fields)


def annotation_at(model: type[BaseModel], loc: Loc) -> Any:
    """The type of the value at a location; None where the model has none."""
    current: Any = model
    for part in loc:
        if isinstance(part, int):
            continue
        fields = next((found.model_fields for found in _models(current)), {})
        if part not in fields:
            return None
        current = fields[part].annotation
    return current


def _models(annotation: Any) -> list[type[BaseModel]]:
    """The models within an annotation such as ``tuple[Model, ...] | None``."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [found for part in get_args(annotation) for found in _models(part)]
