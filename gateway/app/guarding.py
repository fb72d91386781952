"""The guards of a gateway: made from the settings, warmed in the background, tried again while they are absent.

Readiness does not wait for them: until one is warm its groups are judged by its substitutes, or refused.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import structlog

from classifiers.base import Classifier, ClassifierError, ClassifierUnavailable
from classifiers.guards.spec import BAD, GOOD, Guard
from gateway.controls.guard import Guard as GuardControl
from gateway.settings.faults import ConfigInvalid, Fault
from gateway.settings.guards import GUARD, GuardSettings
from gateway.settings.load import secret_of
from gateway.settings.model import Settings

FIRST_PAUSE: Final = 1.0
LONGEST_PAUSE: Final = 30.0

log = structlog.get_logger("asl_gateway")
Make = Callable[[Guard], Classifier]


def guard_of(entry: GuardSettings, environment: Mapping[str, str]) -> Guard:
    """The guard that an entry names. Raises ValueError (what is wrong with it), ConfigInvalid (its key is not there)."""
    kept = ("id", "kind", "model", "family", "urls", "pins", "categories", "thresholds", "input", "output")
    given: dict[str, Any] = {
        name: getattr(entry, name) for name in (*kept, "seconds", "window", "budget", "calls", "batch")
    }
    guard = Guard(
        **given,
        folder=str(entry.folder or ""),
        good=entry.good or GOOD,
        bad=entry.bad or BAD,
        canary=entry.block[0],
        key=secret_of(entry.key.env, entry.key.file, environment) if entry.key else "",
        ca=str(entry.ca or ""),
    )
    if strange := set(entry.block) - set(guard.columns):
        raise ValueError(f"no label stands for {', '.join(sorted(strange))}; it finds {', '.join(guard.columns)}")
    return guard


def guard_faults(settings: Settings) -> list[Fault]:
    """What is wrong with the guards, for ``check-config``."""
    return _read(settings, os.environ)[1]


def _read(settings: Settings, environment: Mapping[str, str]) -> tuple[list[Guard], list[Fault]]:
    found: list[Guard] = []
    faults: list[Fault] = []
    for index, entry in enumerate(settings.guards):
        try:
            found.append(guard_of(entry, environment))
        except ValueError as error:
            faults.append(Fault("guards", 0, 0, f"guards[{index}]", str(error)))
        except ConfigInvalid as error:
            faults += error.faults
    names = [entry.id for entry in settings.guards]
    for name in sorted({name for name in names if names.count(name) > 1}):
        faults.append(Fault("guards", 0, 0, "guards", f"{name!r} is there twice"))
    return found, faults


@dataclass(slots=True)
class _Place:
    """One guard: its control, its classifier, and whether it scored when last looked at."""

    control: GuardControl
    classifier: Classifier
    was_fit: bool = False


class Guarding:
    """All guards of the settings. A change of them needs a restart."""

    def __init__(
        self, settings: Settings, environment: Mapping[str, str], make: Make, pause: float = FIRST_PAUSE
    ) -> None:
        """``pause``: seconds before an absent guard is tried again, doubling. Raises ConfigInvalid with every fault."""
        found, faults = _read(settings, environment)
        if faults:
            raise ConfigInvalid(faults)
        self._pause = pause
        self._places: list[_Place] = []
        for entry, guard in zip(settings.guards, found, strict=True):
            classifier = make(guard)
            self._places.append(_Place(GuardControl(classifier, GUARD + guard.id, entry.block), classifier))

    @property
    def controls(self) -> tuple[GuardControl, ...]:
        """One control for each guard."""
        return tuple(place.control for place in self._places)

    async def warm(self) -> None:
        """Start all of them at once; each is tried again until it is there, or was found not to be what it should be."""
        await asyncio.gather(*(_warm(place, self._pause) for place in self._places))

    def report(self) -> None:
        """Log what changed; called once a second."""
        for place in self._places:
            health = place.classifier.health
            if health.fit and not place.was_fit:
                log.info("guard_ready", control=place.control.id, version=place.classifier.card.version)
            elif place.was_fit and not health.fit:
                losses = {loss.value: count for loss, count in health.losses.items() if count}
                log.error("guard_lost", control=place.control.id, losses=losses)
            place.was_fit = health.fit

    async def close(self) -> None:
        """End them."""
        for place in self._places:
            await place.classifier.close()


async def _warm(place: _Place, pause: float) -> None:
    while True:
        try:
            await place.classifier.start()
        except ClassifierUnavailable as error:
            log.error("guard_not_ready", control=place.control.id, detail=str(error))
            await asyncio.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE)
        except ClassifierError as error:
            log.error("guard_refused", control=place.control.id, detail=str(error))
            return
        else:
            return
