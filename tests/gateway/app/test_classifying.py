"""The classifier of a gateway: what cannot be trusted stays out, what did not come up is tried again, and losses are counted."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from support.config_files import settings
from support.fake_classifier import FakeClassifier

from classifiers.base import Classifier, ClassifierArtefact, ClassifierUnavailable, Health, Loss
from gateway.app.classifying import Classifying
from gateway.metrics import Metrics, metrics


class Moody(FakeClassifier):
    """A classifier whose start and health are told."""

    def __init__(self, *failures: Exception) -> None:
        super().__init__()
        self.failures = list(failures)
        self.told = Health(2, 2, fit=True, losses=dict.fromkeys(Loss, 0))

    @property
    def health(self) -> Health:
        return self.told if self._running else replace(self.told, alive=0, fit=False)

    async def start(self) -> None:
        if self.failures:
            raise self.failures.pop(0)
        await super().start()


def made(classifier: Classifier, found: Metrics) -> Classifying:
    """A gateway's classifier, asked for with the number of processes of the settings."""

    def create(identifier: str, screeners: int) -> Classifier:
        assert (identifier, screeners) == ("cbrn-minilm", 3)
        return classifier

    return Classifying(settings(screeners=3), found, create)


def value(found: Metrics, name: str, **labels: str) -> float:
    """A metric."""
    return found.registry.get_sample_value(f"asl_gateway_{name}", labels) or 0.0


async def test_who_did_not_come_up_is_tried_again() -> None:
    """A pool that found no process or memory at first makes the gateway ready later."""
    classifying = made(Moody(ClassifierUnavailable("no memory")), metrics())
    assert not classifying.ready
    async with asyncio.timeout(30):
        await classifying.warm()
    assert classifying.ready
    await classifying.close()
    assert not classifying.ready


async def test_who_cannot_be_trusted_is_not_tried_again() -> None:
    """Files that are not the pinned ones stay out for good."""
    classifier = Moody(ClassifierArtefact("not the pinned one"))
    classifying = made(classifier, metrics())
    await classifying.warm()
    assert (classifying.ready, classifier.failures, classifier._running) == (False, [], False)


async def test_losses_are_counted_once_and_readiness_follows() -> None:
    """Each loss adds one under its cause, however often it is reported; with nobody alive the gateway is not ready."""
    found, classifier = metrics(), Moody()
    classifying = made(classifier, found)
    await classifying.warm()
    assert value(found, "screeners_alive") == 2
    losses = {**dict.fromkeys(Loss, 0), Loss.DIED: 2, Loss.HUNG: 1}
    classifier.told = Health(0, 2, fit=False, losses=losses)
    assert not classifying.ready
    for _ in range(3):
        classifying.report()
    assert value(found, "screeners_alive") == 0
    counted = {loss: value(found, "screener_restarts_total", cause=loss.value) for loss in Loss}
    assert counted == losses
    classifier.told = Health(2, 2, fit=True, losses=losses)
    classifying.report()
    assert classifying.ready


async def test_stages_are_counted_once() -> None:
    """Windows, and what of them went on to which stage, are counted as they grow, however often they are reported."""
    found, classifier = metrics(), Moody()
    classifying = made(classifier, found)
    await classifying.warm()
    for windows, encoder, second in ((100, 4, 1), (100, 4, 1), (250, 10, 1)):
        classifier.told = replace(classifier.told, windows=windows, encoder=encoder, second=second)
        classifying.report()
    assert value(found, "screened_windows_total") == 250
    assert value(found, "escalations_total", stage="encoder") == 10
    assert value(found, "escalations_total", stage="second") == 1


async def test_without_classifiers_the_gateway_is_ready() -> None:
    """Nobody is made, warmed or reported."""

    def create(_: str, __: int) -> Classifier:
        raise AssertionError

    classifying = Classifying(settings(classifiers=False), metrics(), create)
    await classifying.warm()
    classifying.report()
    await classifying.close()
    assert classifying.ready
    assert classifying.classifier is None


async def test_one_that_cannot_be_made_is_not_there() -> None:
    """The gateway starts without it and says so."""

    def create(_: str, __: int) -> Classifier:
        raise ClassifierArtefact("no such file")

    classifying = Classifying(settings(), metrics(), create)
    await classifying.warm()
    assert (classifying.classifier, classifying.ready) == (None, False)
