"""Level files: what each AI Safety Level switches on. One file a level; ``gateway.policy.levels`` makes them cumulative."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from gateway.exchange import Direction, Feature
from gateway.settings.documents import read, validate
from gateway.settings.faults import ConfigInvalid, Fault
from gateway.settings.model import Asl, Strict
from gateway.terms import Standard


class GroupEntry(Strict):
    """Controls of which one healthy member must judge, in order of preference."""

    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]
    standard: Standard
    direction: Direction
    members: Annotated[tuple[str, ...], Field(min_length=1)]
    on_failure: Literal["refuse", "pass"] = "refuse"
    deadline_ms: Annotated[int, Field(ge=1, le=60_000)] = 2000


class LevelFile(Strict):
    """One level: what it adds to the levels below it."""

    asl: Asl
    summary: str
    serving: Literal["yes", "not_assessed", "halted"] = "yes"
    groups: tuple[GroupEntry, ...] = ()
    thresholds: dict[str, Annotated[int, Field(ge=1, le=1000)]] = Field(default_factory=dict)
    shadow: tuple[str, ...] = ()
    refuse: tuple[Feature, ...] = ()
    hold: Literal["adaptive", "whole"] = "adaptive"
    screen_budget: Annotated[int, Field(ge=1)] = 4096
    file: str = ""


def read_levels(directory: Path) -> tuple[LevelFile, ...]:
    """``asl-1.yaml`` to ``asl-5.yaml``. Raises ConfigInvalid with the faults of all of them."""
    levels: list[LevelFile] = []
    faults: list[Fault] = []
    for asl in range(1, 6):
        path = directory / f"asl-{asl}.yaml"
        try:
            level = validate(LevelFile, read(path))
        except ConfigInvalid as error:
            faults += error.faults
            continue
        if level.asl != asl:
            faults.append(Fault(str(path), 0, 0, "asl", f"says {level.asl}, but the file is for level {asl}"))
        levels.append(level.model_copy(update={"file": str(path)}))
    if faults:
        raise ConfigInvalid(faults)
    return tuple(levels)
