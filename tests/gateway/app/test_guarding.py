"""The guards of a gateway: made from settings, tried again while absent, their faults named before anything runs."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from support.config_files import settings
from support.fake_classifier import FakeClassifier

from classifiers.base import Classifier, ClassifierArtefact, ClassifierUnavailable
from classifiers.guards.spec import Guard
from gateway.app.guarding import Guarding, guard_faults, guard_of
from gateway.settings.faults import ConfigInvalid
from gateway.settings.guards import GuardSettings
from gateway.settings.kinds import Secret

LG3: dict[str, Any] = {
    "id": "lg3",
    "kind": "vllm",
    "model": "m",
    "family": "llama-guard",
    "urls": ("http://127.0.0.1:1",),
}


def entry(**changes: Any) -> GuardSettings:
    return GuardSettings(**(LG3 | changes))


class Moody(FakeClassifier):
    """A classifier whose starts are told."""

    def __init__(self, *failures: Exception) -> None:
        super().__init__()
        self.failures = list(failures)
        self.tried = 0

    async def start(self) -> None:
        self.tried += 1
        if self.failures:
            raise self.failures.pop(0)
        await super().start()


def made(*classifiers: Classifier, guards: tuple[GuardSettings, ...] = ()) -> Guarding:
    left = list(classifiers)
    return Guarding(settings(guards=guards or (entry(),)), {}, lambda guard: left.pop(0), pause=0.001)


def test_an_entry_is_a_guard() -> None:
    """What is given is taken over; canaries of ours where none are; the key from where it is kept."""
    guard = guard_of(entry(key=Secret(env="KEY"), good=("hello",), thresholds={"cbrn": 0.3}), {"KEY": "s3cret"})
    assert (guard.key, guard.good, len(guard.bad)) == ("s3cret", ("hello",), 1)
    assert (guard.canaries.category, guard.card.thresholds["cbrn.block"]) == ("cbrn", 0.3)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"family": "lama-guard"}, "family 'lama-guard' is none of llama-guard"),
        ({"urls": ()}, "urls"),
        ({"family": "wildguard"}, "no label stands for cbrn; it finds other_harm"),
        ({"key": Secret(env="NOWHERE")}, "is not set"),
        ({"categories": {"S99": "cbrn"}}, "S99"),
    ],
)
def test_faults_are_named(changes: dict[str, Any], message: str) -> None:
    """What cannot be is a fault of the configuration, for the check and for the start alike."""
    wrong = settings(guards=(entry(**changes), entry(id="other")))
    (fault,) = guard_faults(wrong)
    assert message in fault.message
    with pytest.raises(ConfigInvalid):
        Guarding(wrong, {}, lambda guard: FakeClassifier())


def test_a_name_is_there_once() -> None:
    """Two guards of one name would be one control."""
    (fault,) = guard_faults(settings(guards=(entry(), entry())))
    assert "twice" in fault.message


def test_each_guard_is_a_control() -> None:
    """Named by its id; none without guards."""
    names = [control.id for control in made(Moody(), Moody(), guards=(entry(), entry(id="b"))).controls]
    assert names == ["guard_lg3", "guard_b"]
    assert Guarding(settings(), {}, lambda guard: FakeClassifier()).controls == ()


async def test_who_is_absent_is_tried_again() -> None:
    """A server that comes up later is used later; what was found to be another model is not tried again."""
    late = Moody(ClassifierUnavailable("away"), ClassifierUnavailable("away"))
    wrong = Moody(ClassifierArtefact("another model"))
    guards = made(late, wrong, guards=(entry(), entry(id="b")))
    async with asyncio.timeout(30):
        await guards.warm()
    assert (late.tried, wrong.tried) == (3, 1)
    assert [await control.healthy() for control in guards.controls] == [True, False]
    await guards.close()
    assert not await guards.controls[0].healthy()


async def test_changes_are_logged_once(capsys: pytest.CaptureFixture[str]) -> None:
    """Coming and going are said once each, by the control's name."""
    classifier = Moody()
    guards = made(classifier)
    for _ in range(2):
        guards.report()
    await guards.warm()
    for _ in range(3):
        guards.report()
    classifier._running = False
    for _ in range(3):
        guards.report()
    out = capsys.readouterr()
    said = out.out + out.err
    assert (said.count("guard_ready"), said.count("guard_lost")) == (1, 1)


def test_the_gateway_makes_them_by_kind() -> None:
    """A server's guard is remote, a folder's is a transformer; neither is started, and nothing is loaded for it."""
    from classifiers.catalogue import guarding as make
    from classifiers.remote import RemoteClassifier
    from classifiers.transformer import TransformerClassifier

    assert isinstance(make(guard_of(entry(), {})), RemoteClassifier)
    local = Guard(id="g", kind="transformer", folder="/m", pins={"a": "0"}, categories={"a": "none", "b": "cbrn"})
    assert isinstance(make(local), TransformerClassifier)
