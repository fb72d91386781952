"""Loading: defaults < file < environment (``ASL_GATEWAY__A__B``) < flags; and the check of everything that a file refers to."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from gateway.settings.documents import Document, Loc
from gateway.settings.faults import ConfigInvalid, Fault
from gateway.settings.findings import ordered, validate
from gateway.settings.guards import GUARD
from gateway.settings.ladder import read_levels
from gateway.settings.layers import layered
from gateway.settings.levels import MergedLevel
from gateway.settings.model import Settings
from gateway.settings.rules import read_rules
from gateway.terms import Rule


def no_objection(rule: Rule) -> str:
    """Where no matcher is asked."""
    del rule
    return ""


def nothing_else(settings: Settings) -> list[Fault]:
    """Where nothing further is looked at."""
    del settings
    return []


def builtin_dir() -> Path:
    """The built-in profiles and rules: in the wheel beside the package, in a checkout the ``config`` directory."""
    package = Path(__file__).parent.parent
    installed = package / "builtin"
    return installed if installed.is_dir() else package.parent / "config"


def load(file: Path | None, environment: Mapping[str, str], flags: Mapping[str, Any]) -> Settings:
    """The settings from all layers. ``flags`` is a nested mapping in the shape of the file.

    Raises ConfigInvalid with every fault. Relative paths in the file are relative to the file.
    """
    return _settings(layered(file, environment, flags))


def _settings(document: Document) -> Settings:
    clashes = list(_clashes(document))
    try:
        settings = validate(Settings, document)
    except ConfigInvalid as error:
        raise ConfigInvalid(ordered([*error.faults, *clashes])) from error
    if clashes:
        raise ConfigInvalid(ordered(clashes))
    return settings


def _clashes(document: Document) -> Iterator[Fault]:
    """Names and aliases that are there twice. Looks at plain data, so that other faults do not hide these."""
    taken: set[str] = set()
    models = document.data.get("models") if isinstance(document.data, dict) else None
    for index, model in enumerate(models if isinstance(models, list) else ()):
        if not isinstance(model, dict):
            continue
        aliases = model.get("aliases")
        names: list[tuple[Loc, Any]] = [(("models", index, "name"), model.get("name"))]
        if isinstance(aliases, list):
            names += [(("models", index, "aliases", place), alias) for place, alias in enumerate(aliases)]
        for loc, name in ((loc, name) for loc, name in names if isinstance(name, str)):
            if name in taken:
                yield document.fault(loc, f"{name!r} is registered twice")
            taken.add(name)


def levels_of(settings: Settings, controls: Iterable[str] | None = None) -> tuple[MergedLevel, ...]:
    """The merged levels in force: the built-in ones, or those of ``levels:`` held against them. Raises ConfigInvalid.

    ``controls``: the ids that exist; without them the names in the files are not checked.
    """
    return _levels(settings.levels, controls)


def _levels(directory: Path | None, controls: Iterable[str] | None) -> tuple[MergedLevel, ...]:
    known = None if controls is None else frozenset(controls)
    builtin = builtin_dir() / "levels"
    if directory is None or directory.resolve() == builtin.resolve():
        return read_levels(builtin, controls=known)
    return read_levels(directory, floor=read_levels(builtin), controls=known)


def rules_of(settings: Settings, objection: Callable[[Rule], str] = no_objection) -> tuple[Rule, ...]:
    """The rules from files; none without ``rules:``. ``objection``: see ``read_rules``. Raises ConfigInvalid."""
    return read_rules(settings.rules, objection) if settings.rules is not None else ()


def secret_of(env: str | None, file: Path | None, environment: Mapping[str, str]) -> str:
    """A secret from where it is kept (exactly one of the two). Raises ConfigInvalid when it is not there; the fault never holds it."""
    if file is None:
        found = environment.get(env or "", "").strip()
        if not found:
            raise ConfigInvalid([Fault("environment", 0, 0, env or "", "is not set")])
        return found
    try:
        found = file.read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "is not UTF-8 text"
        raise ConfigInvalid([Fault(str(file), 0, 0, "", f"cannot be read: {reason}")]) from error
    if not found:
        raise ConfigInvalid([Fault(str(file), 0, 0, "", "is empty")])
    return found


def check(
    file: Path | None,
    environment: Mapping[str, str],
    controls: Iterable[str],
    *,
    flags: Mapping[str, Any] | None = None,
    objection: Callable[[Rule], str] = no_objection,
    further: Callable[[Settings], list[Fault]] = nothing_else,
) -> list[Fault]:
    """All faults of a configuration and of everything that it refers to: levels, rules, secrets, certificates.

    ``controls``: the ids that exist. ``objection``: what the matcher has against a rule, "" for nothing. ``further``: faults that
    another room finds in settings that are sound (the files of listeners).
    """
    try:
        document = layered(file, environment, flags or {})
    except ConfigInvalid as error:
        return list(error.faults)
    data = document.data if isinstance(document.data, dict) else {}
    faults: list[Fault] = []
    with _collecting(faults):
        settings = _settings(document)
        faults += [*_references(settings, environment), *further(settings)]
    # Levels and rules are read even where the settings are at fault elsewhere.
    with _collecting(faults):
        _levels(_directory(data, "levels"), {*controls, *_guards(data)})
    with _collecting(faults):
        if (rules := _directory(data, "rules")) is not None:
            read_rules(rules, objection)
    return ordered(faults)


@contextlib.contextmanager
def _collecting(faults: list[Fault]) -> Iterator[None]:
    """Add the faults of a block to a list and go on."""
    try:
        yield
    except ConfigInvalid as error:
        faults += error.faults


def _directory(data: Mapping[str, Any], key: str) -> Path | None:
    return Path(data[key]) if isinstance(data.get(key), str) else None


def _guards(data: Mapping[str, Any]) -> Iterator[str]:
    """The controls that ``guards:`` makes, from plain data, so that a fault in one does not hide the others."""
    guards = data.get("guards")
    for guard in guards if isinstance(guards, list) else ():
        if isinstance(guard, dict) and isinstance(guard.get("id"), str):
            yield GUARD + guard["id"]


def _references(settings: Settings, environment: Mapping[str, str]) -> list[Fault]:
    faults: list[Fault] = []
    for index, model in enumerate(settings.models):
        if model.upstream.key is not None:
            with _collecting(faults):
                secret_of(model.upstream.key.env, model.upstream.key.file, environment)
        if model.upstream.ca is not None and not model.upstream.ca.is_file():
            faults.append(Fault(str(model.upstream.ca), 0, 0, f"models[{index}].upstream.ca", "is not a file"))
    return faults
