"""What is in force for one exchange: levels, control groups, rules, and the terms that bind them together.

These values cross every room, so they stand beside ``exchange`` and ``verdict`` and import nothing else.
How terms are made and joined is ``gateway.policy``'s business.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum, StrEnum

from gateway.exchange import Direction, Feature


class Standard(StrEnum):
    """The two standards that a level pairs."""

    DEPLOYMENT = "deployment"
    SECURITY = "security"


@dataclass(frozen=True, slots=True)
class Level:
    """A pair of standards, each 1 to 5; ``asl-3`` is short for both at 3."""

    deployment: int
    security: int

    def __post_init__(self) -> None:
        for value in (self.deployment, self.security):
            if not 1 <= value <= 5:
                raise ValueError(f"a standard is 1 to 5, not {value}")

    @classmethod
    def both(cls, asl: int) -> Level:
        """``asl-N``: both standards at N."""
        return cls(asl, asl)

    def join(self, other: Level) -> Level:
        """The stricter of two levels, standard by standard."""
        return Level(max(self.deployment, other.deployment), max(self.security, other.security))

    def covers(self, other: Level) -> bool:
        """True when this level is at least as strict as the other in both standards."""
        return self.join(other) == self

    def __str__(self) -> str:
        """``asl-3``, or ``asl-3/security-4`` where the standards differ."""
        short = f"asl-{self.deployment}"
        return short if self.deployment == self.security else f"{short}/security-{self.security}"


class Standing(IntEnum):
    """Whether a model may serve; the larger is the stricter."""

    SERVING = 0
    NOT_ASSESSED = 1
    HALTED = 2


class Hold(IntEnum):
    """How answers are held back; the larger is the stricter."""

    ADAPTIVE = 0
    WHOLE = 1


class OnFailure(IntEnum):
    """What a group does when no member can judge; the larger is the stricter."""

    PASS = 0
    REFUSE = 1


@dataclass(frozen=True, slots=True)
class Group:
    """Controls of which one healthy member must judge, in order of preference; the later ones are substitutes."""

    name: str
    standard: Standard
    direction: Direction
    members: tuple[str, ...]
    on_failure: OnFailure = OnFailure.REFUSE
    deadline_ms: int = 2000

    def __post_init__(self) -> None:
        if not self.members:
            raise ValueError(f"group {self.name!r} has no members: an empty list of checks is an error")


@dataclass(frozen=True, slots=True)
class Rule:
    """One rapid-response rule. Exactly one of ``literal`` and ``pattern`` is set; ``expires`` is a UTC epoch second, 0 for never."""

    id: str
    category: str
    directions: frozenset[Direction]
    literal: str | None
    pattern: str | None
    expires: int
    reason: str


@dataclass(frozen=True, slots=True)
class RuleSet:
    """All rules in force under one digest (SHA-256 over their canonical form). Equal digests mean equal rules."""

    digest: str
    rules: tuple[Rule, ...]


@dataclass(frozen=True, slots=True)
class Terms:
    """What an exchange is judged under. Joined, never edited (``gateway.policy.join``)."""

    model: str  # canonical name
    level: Level
    standing: Standing
    groups: frozenset[Group]
    rule_sets: frozenset[RuleSet]
    thresholds: frozenset[tuple[str, int]]  # (control id, threshold in thousandths); the smallest of a control counts
    refused: frozenset[Feature]
    shadow: frozenset[str]  # controls that judge without effect
    hold: Hold
    screen_budget: int  # classifier windows that one prompt may need
    snapshots: frozenset[str]  # digests of the snapshots joined here
    revision: int  # of the newest of them

    def threshold(self, control: str, otherwise: int) -> int:
        """The strictest threshold (thousandths) for a control."""
        return min((value for name, value in self.thresholds if name == control), default=otherwise)
