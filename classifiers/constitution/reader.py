"""Reads a constitution: topics, asks, and the rules that turn topic x ask x actionability into a verdict.

Any constitution of this form will do; ``train`` takes one. ``decisions.toml`` beside it decides the cases on which two readers
would disagree.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

HERE: Final = Path(__file__).parent


class ConstitutionInvalid(ValueError):
    """A constitution does not say what it must; the message names the place."""


class Ruling(StrEnum):
    """What a constitution says of a text. The values are stable: labels, verdicts, rules and metrics use them."""

    PROHIBITED = "prohibited"
    DUAL_USE = "dual_use"
    OTHER_HARM = "other_harm"
    FINE = "fine"


@dataclass(frozen=True, slots=True)
class Topic:
    """One subject, as ``field.name``; ``fine`` says what of it is nobody's harm."""

    id: str
    field: str
    title: str
    fine: str


@dataclass(frozen=True, slots=True)
class Clause:
    """A rule: the asks and levels of actionability that it speaks about (none means all), and its ruling."""

    asks: frozenset[str]
    actionability: frozenset[str]
    ruling: Ruling

    def speaks_of(self, ask: str, actionability: str) -> bool:
        """Whether the rule decides this."""
        return (not self.asks or ask in self.asks) and (not self.actionability or actionability in self.actionability)


@dataclass(frozen=True, slots=True)
class Case:
    """A boundary case, decided. ``topic`` is empty where it belongs to none."""

    group: str
    case: str
    ruling: Ruling
    topic: str
    why: str


@dataclass(frozen=True, slots=True)
class Constitution:
    """A whole constitution. ``asks`` and ``actionability`` map ids to what they mean."""

    id: str
    version: int
    topics: tuple[Topic, ...]
    asks: Mapping[str, str]
    actionability: Mapping[str, str]
    clauses: tuple[Clause, ...]
    cases: tuple[Case, ...]

    @property
    def fields(self) -> tuple[str, ...]:
        """The fields of the topics, in their order."""
        return tuple(dict.fromkeys(topic.field for topic in self.topics))

    def ruling(self, ask: str, actionability: str) -> Ruling:
        """What the first matching clause says. Raises KeyError for an unknown ask or level of actionability."""
        if ask not in self.asks or actionability not in self.actionability:
            raise KeyError(f"{ask}, {actionability}")
        return next(clause.ruling for clause in self.clauses if clause.speaks_of(ask, actionability))

    @property
    def harmful_asks(self) -> frozenset[str]:
        """The asks that are prohibited once an answer would be a step of a plan."""
        return frozenset(ask for ask in self.asks if self.ruling(ask, "operational") is Ruling.PROHIBITED)


def load(name: str = "cbrn", folder: Path = HERE) -> Constitution:
    """The constitution of this name, with its decided cases where there are any. Raises ConstitutionInvalid."""
    text = _read(folder / f"{name}.toml")
    decisions = folder / ("decisions.toml" if name == "cbrn" else f"{name}.decisions.toml")
    cases = _read(decisions).get("cases", []) if decisions.is_file() else []
    try:
        made = Constitution(
            text["id"],
            text["version"],
            tuple(Topic(**topic) for topic in text["topics"]),
            text["asks"],
            text["actionability"],
            tuple(_clause(rule) for rule in text["rules"]),
            tuple(Case(c["group"], c["case"], Ruling(c["verdict"]), c["topic"], c["why"]) for c in cases),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise ConstitutionInvalid(f"{name}: {error}") from error
    _check(made)
    return made


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise ConstitutionInvalid(f"{path}: {error}") from error


def _clause(rule: Mapping[str, Any]) -> Clause:
    when: Mapping[str, Sequence[str]] = rule["when"]
    if unknown := when.keys() - {"ask", "actionability"}:
        raise ConstitutionInvalid(f"a rule speaks of {sorted(unknown)}")
    return Clause(frozenset(when.get("ask", ())), frozenset(when.get("actionability", ())), Ruling(rule["verdict"]))


def _check(made: Constitution) -> None:
    """Ids are unique and known, and every combination is decided."""
    ids = [topic.id for topic in made.topics]
    if len(set(ids)) != len(ids) or any(not topic.id.startswith(topic.field + ".") for topic in made.topics):
        raise ConstitutionInvalid(f"{made.id}: topics must be unique and begin with their field")
    for clause in made.clauses:
        if not clause.asks <= made.asks.keys() or not clause.actionability <= made.actionability.keys():
            raise ConstitutionInvalid(f"{made.id}: a rule names an unknown ask or level of actionability")
    for ask in made.asks:
        for level in made.actionability:
            if not any(clause.speaks_of(ask, level) for clause in made.clauses):
                raise ConstitutionInvalid(f"{made.id}: nothing decides {ask}, {level}")
    for case in made.cases:
        if case.topic and case.topic not in ids:
            raise ConstitutionInvalid(f"{made.id}: a decided case names the unknown topic {case.topic}")
