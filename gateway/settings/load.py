"""Loading: defaults < file < environment (``ASL_GATEWAY__A__B``) < flags; and the check of everything that a file refers to."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import gateway
from gateway.settings.documents import Document, read, validate
from gateway.settings.faults import ConfigInvalid, Fault
from gateway.settings.levels import LevelFile, read_levels
from gateway.settings.model import DIALECTS, Settings
from gateway.settings.rules import read_rules
from gateway.terms import Rule

ENVIRONMENT = "ASL_GATEWAY__"


def builtin_dir() -> Path:
    """The built-in profiles and rules: in the wheel beside the package, in a checkout the ``config`` directory."""
    package = Path(gateway.__file__).parent
    installed = package / "builtin"
    return installed if installed.is_dir() else package.parent / "config"


def load(file: Path | None, environment: Mapping[str, str], flags: Mapping[str, Any]) -> Settings:
    """The settings from all layers. ``flags`` is a nested mapping in the shape of the file. Raises ConfigInvalid with every fault."""
    document = read(file) if file is not None else Document("command line", {})
    if not isinstance(document.data, dict):
        raise ConfigInvalid([document.fault((), "is not a mapping of settings")])
    merged = _merge(_merge(document.data, _from_environment(environment)), flags)
    settings = validate(Settings, Document(document.file, merged, document.places))
    faults = _cross_check(settings, document)
    if faults:
        raise ConfigInvalid(faults)
    return _rooted(settings, file.parent) if file is not None else settings


def _rooted(settings: Settings, base: Path) -> Settings:
    """Paths in a file are relative to the file."""
    changes = {key: base / path for key in ("state", "levels", "rules") if (path := getattr(settings, key)) is not None}
    return settings.model_copy(update=changes)


def _from_environment(environment: Mapping[str, str]) -> dict[str, Any]:
    """``ASL_GATEWAY__LIMITS__BODY=1MiB`` is ``{limits: {body: 1MiB}}``; values that are JSON are taken as such."""
    found: dict[str, Any] = {}
    for name, text in sorted(environment.items()):
        if not name.startswith(ENVIRONMENT):
            continue
        *parents, last = name.removeprefix(ENVIRONMENT).lower().split("__")
        node = found
        for parent in parents:
            node = node.setdefault(parent, {})
        node[last] = _scalar(text)
    return found


def _scalar(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def _merge(lower: Mapping[str, Any], upper: Mapping[str, Any]) -> dict[str, Any]:
    """The upper layer over the lower one; mappings merge, everything else is replaced."""
    merged = dict(lower)
    for key, value in upper.items():
        below = merged.get(key)
        merged[key] = _merge(below, value) if isinstance(below, dict) and isinstance(value, Mapping) else value
    return merged


def _cross_check(settings: Settings, document: Document) -> list[Fault]:
    """Faults that no single key shows: names that clash, dialects that do not exist, secrets that are not one reference."""
    faults: list[Fault] = []
    taken: set[str] = set()
    for index, model in enumerate(settings.models):
        for name in (model.name, *model.aliases):
            if name in taken:
                faults.append(document.fault(("models", index, "name"), f"{name!r} is registered twice"))
            taken.add(name)
        for dialect in model.upstream.dialects:
            if dialect not in DIALECTS:
                message = f"{dialect!r} is no dialect of this version; known: {', '.join(DIALECTS)}"
                faults.append(document.fault(("models", index, "upstream", "dialects"), message))
        key = model.upstream.key
        if key is not None and (key.env is None) == (key.file is None):
            faults.append(document.fault(("models", index, "upstream", "key"), "needs exactly one of env and file"))
    return faults


def levels_of(settings: Settings) -> tuple[LevelFile, ...]:
    """The level files in force. Raises ConfigInvalid."""
    return read_levels(settings.levels or builtin_dir() / "levels")


def rules_of(settings: Settings) -> tuple[Rule, ...]:
    """The rules from files. Raises ConfigInvalid."""
    return read_rules(settings.rules) if settings.rules is not None else ()


def secret_of(env: str | None, file: Path | None, environment: Mapping[str, str]) -> str:
    """A secret from where it is kept. Raises ConfigInvalid when it is not there."""
    if env is not None:
        if not environment.get(env):
            raise ConfigInvalid([Fault("environment", 0, 0, env, "is not set")])
        return environment[env]
    assert file is not None
    try:
        return file.read_text().strip()
    except OSError as error:
        raise ConfigInvalid([Fault(str(file), 0, 0, "", f"cannot be read: {error.strerror}")]) from error


def check(file: Path, environment: Mapping[str, str], controls: Iterable[str]) -> list[Fault]:
    """All faults of a configuration and of everything that it refers to; ``controls`` are the ids that exist."""
    faults: list[Fault] = []
    try:
        settings = load(file, environment, {})
    except ConfigInvalid as error:
        return list(error.faults)
    known = frozenset(controls)
    for part in (lambda: _check_levels(levels_of(settings), known), lambda: rules_of(settings)):
        try:
            part()
        except ConfigInvalid as error:
            faults += error.faults
    return faults


def _check_levels(levels: Iterable[LevelFile], known: frozenset[str]) -> None:
    faults = [
        Fault(level.file, 0, 0, f"groups.{group.name}", f"there is no control {member!r}")
        for level in levels
        for group in level.groups
        for member in group.members
        if member not in known
    ]
    if faults:
        raise ConfigInvalid(faults)
