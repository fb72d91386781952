"""The gateway's classifier: made from the settings, warmed in the background, watched for as long as it runs."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable
from typing import Final

import structlog

from classifiers.base import Classifier, ClassifierError, ClassifierUnavailable, Health, Loss
from classifiers.cores import processes, usable_cores
from gateway.metrics import Metrics
from gateway.settings.model import Settings

CLASSIFIER: Final = "cbrn-minilm"
RETRY_SECONDS: Final = 1.0

log = structlog.get_logger("asl_gateway")
Create = Callable[[str, int], Classifier]


class Classifying:
    """``classifier`` is None where there is none: switched off, or its files are not the pinned ones (substitutes judge then)."""

    def __init__(self, settings: Settings, metrics: Metrics, create: Create) -> None:
        self._wanted = settings.classifiers
        self._metrics = metrics
        self._counted = dict.fromkeys(Loss, 0)
        self._staged: dict[str, int] = {}
        self._was_fit = False
        self.screeners = processes(settings.screeners, usable_cores())
        self.classifier = self._make(create) if self._wanted else None

    @property
    def ready(self) -> bool:
        """Whether prompts are judged as the profiles want: the classifier scores now, or is not wanted."""
        return not self._wanted or (self.classifier is not None and self.classifier.health.fit)

    async def warm(self) -> None:
        """Load. What cannot be trusted is not tried again; what did not come up is, until it does."""
        while self.classifier is not None:
            try:
                await self.classifier.start()
            except ClassifierUnavailable as error:
                self._complain("classifier_not_ready", error)
                await asyncio.sleep(RETRY_SECONDS)
            except ClassifierError as error:
                self._complain("classifier_not_ready", error)
                return
            else:
                gc.freeze()  # what the classifier loaded stays: the collector would walk it on the loop, for 8 ms
                self.report()
                return

    async def close(self) -> None:
        """End it; safe without one."""
        if self.classifier is not None:
            await self.classifier.close()

    def report(self) -> None:
        """Bring the metrics up to date and log what changed; called once a second."""
        if self.classifier is None:
            return
        health = self.classifier.health
        self._metrics.set("screeners_alive", health.alive)
        for loss, count in health.losses.items():
            self._metrics.count("screener_restarts_total", loss.value, by=count - self._counted[loss])
            if count > self._counted[loss]:
                log.warning("screener_lost", cause=loss.value, alive=health.alive, of=health.wanted)
            self._counted[loss] = count
        self._count_stages(health)
        if health.fit and not self._was_fit:
            card = self.classifier.card
            log.info("classifier_ready", classifier=card.id, version=card.version, screeners=self.screeners)
        elif self._was_fit and not health.fit:
            log.error("classifier_lost", alive=health.alive, of=health.wanted)
        self._was_fit = health.fit

    def _count_stages(self, health: Health) -> None:
        now = {"windows": health.windows, "encoder": health.encoder, "second": health.second}
        new = {name: max(0, count - self._staged.get(name, 0)) for name, count in now.items()}
        self._metrics.count("screened_windows_total", by=new["windows"])
        for stage in ("encoder", "second"):
            self._metrics.count("escalations_total", stage, by=new[stage])
        self._staged = now

    def _make(self, create: Create) -> Classifier | None:
        try:
            return create(CLASSIFIER, self.screeners)
        except ClassifierError as error:
            self._complain("classifier_refused", error)
            return None

    @staticmethod
    def _complain(event: str, error: ClassifierError) -> None:
        log.error(event, error=type(error).__name__, detail=str(error))
