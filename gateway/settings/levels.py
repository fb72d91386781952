"""The shape of level files (what each AI Safety Level adds to the one below it), and of levels merged from them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field

from gateway.exchange import Direction, Feature
from gateway.settings.kinds import Strict
from gateway.settings.model import Asl
from gateway.terms import Standard

Serving = Literal["yes", "not_assessed", "halted"]
Failing = Literal["pass", "refuse"]
Holding = Literal["adaptive", "whole"]
# From the loosest to the strictest.
SERVINGS: tuple[Serving, ...] = ("yes", "not_assessed", "halted")
FAILINGS: tuple[Failing, ...] = ("pass", "refuse")
HOLDINGS: tuple[Holding, ...] = ("adaptive", "whole")


class GroupEntry(Strict):
    """Controls of which one healthy member must judge, in order of preference."""

    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")] = Field(description="unique name of the duty")
    standard: Standard = Field(description="the standard that it serves")
    direction: Direction = Field(description="which half of an exchange it judges")
    members: Annotated[tuple[str, ...], Field(min_length=1)] = Field(description="controls, the preferred one first")
    on_failure: Failing = Field("refuse", description="when no member can judge")
    deadline_ms: Annotated[int, Field(ge=1, le=60_000)] = Field(2000, description="for one judgement, queue included")


class LevelFile(Strict):
    """One level: what it adds to the levels below it. What is left out stays as it is below."""

    asl: Asl = Field(description="1 to 5, as in the file's name")
    summary: Annotated[str, Field(min_length=1)] = Field(description="one line for people")
    serving: Serving | None = Field(None, description="whether a model on record at this level may serve")
    groups: tuple[GroupEntry, ...] = Field((), description="what must judge, besides the groups of lower levels")
    thresholds: dict[str, Annotated[int, Field(ge=1, le=1000)]] = Field(
        default_factory=dict,
        description="control to threshold, in thousandths; the classifier's card decides without one",
    )
    shadow: tuple[str, ...] = Field((), description="controls that judge without effect")
    refuse: tuple[Feature, ...] = Field((), description="request features that are refused")
    hold: Holding | None = Field(None, description="how answers are held back")
    screen_budget: Annotated[int, Field(ge=1, le=1_000_000)] | None = Field(
        None, description="classifier windows that one prompt may need"
    )
    retention: Annotated[int, Field(ge=1, le=36_500)] | None = Field(
        None, description="days that ledger rows are kept; never fewer than at the level below"
    )


@dataclass(frozen=True, slots=True)
class MergedLevel:
    """Everything that one level switches on, those below it included."""

    asl: int
    summary: str
    serving: Serving
    groups: tuple[GroupEntry, ...]
    thresholds: Mapping[str, int]
    shadow: frozenset[str]
    refuse: frozenset[Feature]
    hold: Holding
    screen_budget: int
    retention: int

    @property
    def acting(self) -> frozenset[str]:
        """Controls whose word counts."""
        return frozenset(member for group in self.groups for member in group.members) - self.shadow


# What the lowest level stands on. Its budget and retention are asl-1's own where asl-1 does not say.
BELOW_ALL = MergedLevel(0, "", "yes", (), {}, frozenset(), frozenset(), "adaptive", 4096, 30)
