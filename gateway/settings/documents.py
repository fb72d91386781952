"""YAML documents with the place of every key, and pydantic's findings translated to those places."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.constructor import DuplicateKeyError
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from gateway.settings.faults import ConfigInvalid, Fault, closest

Model = TypeVar("Model", bound=BaseModel)
Place = tuple[int, int]
Loc = tuple[str | int, ...]

# pydantic's words for what people do wrong most often, said plainly.
WORDS = {"extra_forbidden": "unknown key", "missing": "is missing"}


@dataclass(frozen=True, slots=True)
class Document:
    """A parsed file: plain data, and the place (line, column) of every key and item in it."""

    file: str
    data: Any
    places: Mapping[Loc, Place] = field(default_factory=dict)

    def place(self, loc: Loc) -> Place:
        """The place of the nearest thing that stands in the file."""
        while loc and loc not in self.places:
            loc = loc[:-1]
        return self.places.get(loc, (0, 0))

    def fault(self, loc: Loc, message: str, suggestion: str = "") -> Fault:
        """A fault at this place."""
        line, column = self.place(loc)
        return Fault(self.file, line, column, dotted(loc), message, suggestion)


def dotted(loc: Loc) -> str:
    """``models[0].upstream.url``."""
    text = ""
    for part in loc:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else str(part)
    return text


def read(path: Path) -> Document:
    """Parse a YAML file. Raises ConfigInvalid when it cannot be read, is not YAML, or has a key twice."""
    try:
        loaded = YAML(typ="rt").load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else "is not UTF-8 text"
        raise ConfigInvalid([Fault(str(path), 0, 0, "", f"cannot be read: {reason}")]) from error
    except YAMLError as error:
        raise ConfigInvalid([_syntax(path, error)]) from error
    places: dict[Loc, Place] = {}
    return Document(str(path), _plain(loaded, (), places), places)


def _syntax(path: Path, error: YAMLError) -> Fault:
    mark = error.problem_mark if isinstance(error, MarkedYAMLError) else None
    line, column = (mark.line + 1, mark.column + 1) if mark else (0, 0)
    if isinstance(error, DuplicateKeyError):
        return Fault(str(path), line, column, "", "the same key twice")
    return Fault(str(path), line, column, "", f"is not valid YAML: {getattr(error, 'problem', None) or error}")


def _plain(value: Any, loc: Loc, places: dict[Loc, Place]) -> Any:
    """Plain Python data, noting places on the way."""
    if isinstance(value, CommentedMap):
        for key in value:
            line, column = value.lc.key(key)
            places[*loc, key] = (line + 1, column + 1)
        return {key: _plain(item, (*loc, key), places) for key, item in value.items()}
    if isinstance(value, CommentedSeq):
        for index in range(len(value)):
            line, column = value.lc.item(index)
            places[*loc, index] = (line + 1, column + 1)
        return [_plain(item, (*loc, index), places) for index, item in enumerate(value)]
    if isinstance(value, bool) or value is None or isinstance(value, dt.date):
        return value
    for kind in (str, int, float):
        if isinstance(value, kind):
            return kind(value)  # ruamel's scalar types remember their spelling; ours need not
    return value


def validate(model: type[Model], document: Document) -> Model:
    """Check a document against a model. Raises ConfigInvalid with every finding at its place."""
    try:
        return model.model_validate(document.data)
    except ValidationError as error:
        raise ConfigInvalid(
            [_finding(model, document, dict(found)) for found in error.errors(include_url=False)]
        ) from error


def _finding(model: type[BaseModel], document: Document, found: dict[str, Any]) -> Fault:
    loc: Loc = tuple(found["loc"])
    message = WORDS.get(found["type"], str(found["msg"]).removeprefix("Value error, "))
    suggestion = ""
    if found["type"] == "extra_forbidden":
        suggestion = closest(str(loc[-1]), _fields(model, loc[:-1]))
    return document.fault(loc, message, suggestion)


def _fields(model: type[BaseModel], loc: Loc) -> Sequence[str]:
    """The keys that are known where a location leads."""
    current: Any = model
    for part in loc:
        if isinstance(part, int):
            continue
        annotation = current.model_fields[part].annotation if part in current.model_fields else None
        current = next((kind for kind in _models(annotation)), None)
        if current is None:
            return ()
    return tuple(current.model_fields)


def _models(annotation: Any) -> list[type[BaseModel]]:
    """The models within an annotation such as ``tuple[Model, ...] | None``."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [found for part in get_args(annotation) for found in _models(part)]
