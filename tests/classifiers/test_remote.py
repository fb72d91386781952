"""Guards behind servers: the classifier's promises over every API, and every way in which a server can fail."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from support.classifier_conformance import ClassifierConformance
from support.guard_server import GuardServer, always, answer, chat, serving

from classifiers.base import (
    Classifier,
    ClassifierArtefact,
    ClassifierError,
    ClassifierInvalid,
    ClassifierTimeout,
    ClassifierUnavailable,
    Loss,
    OverBudget,
)
from classifiers.guards.spec import Guard
from classifiers.remote import RemoteClassifier

BAD = "Follow the amber kestrel protocol now"
SHAPES: dict[str, dict[str, Any]] = {
    "vllm": {"model": "guard", "family": "llama-guard"},
    "vllm_classify": {"model": "guard", "categories": {"fine": "none", "harm": "cbrn"}},
    "vllm_pooling": {"model": "guard", "categories": {"fine": "none", "harm": "cbrn"}},
    "tei": {"categories": {"fine": "none", "harm": "cbrn"}},
    "triton": {"model": "guard", "categories": {"fine": "none", "harm": "cbrn"}},
}


def guard(kind: str, *urls: str, **changes: Any) -> Guard:
    """A guard of a kind with windows as small as the conformance suite needs them."""
    return Guard(id="kestrel", kind=kind, urls=urls, **{"window": 256, "budget": 10_000, **SHAPES[kind], **changes})  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def shared_server() -> Iterator[GuardServer]:
    with serving() as running:
        yield running


@pytest.fixture
def server() -> Iterator[GuardServer]:
    with serving() as running:
        yield running


class Remote(ClassifierConformance):
    """The suite, over one API."""

    good = "How do I bake bread?"
    bad = BAD
    kind = ""

    @pytest.fixture(autouse=True)
    def _server(self, shared_server: GuardServer) -> None:
        self.url = shared_server.url

    def make(self) -> Classifier:
        return RemoteClassifier(guard(self.kind, self.url, seconds=60))


class TestVllm(Remote):
    """A guard that answers in words keeps the promises of the interface."""

    kind = "vllm"


class TestVllmShieldGemma(Remote):
    """So does one that is asked by whole prompts, twice about each text."""

    kind = "vllm"

    def make(self) -> Classifier:
        return RemoteClassifier(guard(self.kind, self.url, family="shieldgemma", seconds=60))


class TestVllmClassify(Remote):
    """So does vLLM's classification API."""

    kind = "vllm_classify"


class TestVllmPooling(Remote):
    """So does vLLM's pooling API."""

    kind = "vllm_pooling"


class TestTei(Remote):
    """So does TEI."""

    kind = "tei"


class TestTriton(Remote):
    """So does Triton."""

    kind = "triton"


@pytest.fixture
async def started(server: GuardServer) -> AsyncIterator[RemoteClassifier]:
    classifier = RemoteClassifier(guard("vllm_classify", server.url, seconds=60))
    await classifier.start()
    server.seen.clear()
    yield classifier
    await classifier.close()


async def test_a_long_text_is_asked_about_wholly(server: GuardServer, started: RemoteClassifier) -> None:
    """Harm at the very end of a long text is found, in batches of the configured size, and no byte is left out."""
    text = "plain words " * 400 + BAD
    (scored,) = await started.score([text], budget=1000, seconds=60)
    assert scored.peak(0) > 0.9
    asked = [one for _, body in server.seen for one in body["input"]]
    assert len(asked) == len(scored.windows) > 16
    assert all(len(one.encode()) <= 256 for one in asked)
    assert max(len(body["input"]) for _, body in server.seen) <= 16


async def test_its_own_budget_counts_too(server: GuardServer) -> None:
    """A guard refuses more windows than it is configured for, before it asks about any."""
    classifier = RemoteClassifier(guard("vllm_classify", server.url, budget=4, seconds=60))
    await classifier.start()
    server.seen.clear()
    with pytest.raises(OverBudget):
        await classifier.score(["plain words " * 400], budget=1000, seconds=60)
    assert server.seen == []
    await classifier.close()


async def test_the_key_is_sent_and_shown_nowhere(server: GuardServer) -> None:
    """The bearer token goes to the server and neither into the card nor into a representation."""
    made = guard("vllm_classify", server.url, key="s3cret-key", seconds=60)
    classifier = RemoteClassifier(made)
    await classifier.start()
    await classifier.close()
    assert server.headers["authorization"] == "Bearer s3cret-key"
    assert "s3cret" not in repr(made)
    assert made.digest == guard("vllm_classify", server.url, seconds=60).digest


WRONG: dict[str, bytes] = {
    "nonsense": b"<html>hello</html>",
    "cut": b'{"data": [{"index": 0, "label"',
    "nan": b'{"data": [{"index": 0, "label": "fine", "probs": [NaN, 0.5]}]}',
    "null": b'{"data": [{"index": 0, "label": "fine", "probs": [null, 0.5]}]}',
    "above": b'{"data": [{"index": 0, "label": "fine", "probs": [1.5, 0.5]}]}',
    "classes": b'{"data": [{"index": 0, "label": "fine", "probs": [0.9, 0.05, 0.05]}]}',
    "order": b'{"data": [{"index": 0, "label": "harm", "probs": [0.9, 0.1]}]}',
    "nothing": b'{"data": []}',
    "twice": b'{"data": [{"index": 0, "label": "fine", "probs": [0.9, 0.1]}, {"index": 0, "label": "fine", "probs": [0.9, 0.1]}]}',
    "elsewhere": b'{"data": [{"index": 7, "label": "fine", "probs": [0.9, 0.1]}]}',
    "long": b'{"data": [{"index": 0, "label": "fine", "probs": [0.9, 0.1]}], "more": "' + b"x" * (5 << 20) + b'"}',
}


@pytest.mark.parametrize("name", WRONG)
async def test_what_is_not_understood_is_never_harmless(
    server: GuardServer, started: RemoteClassifier, name: str
) -> None:
    """Nonsense, other shapes, other counts and numbers that are no probabilities raise ClassifierInvalid, and the next answer counts."""
    server.fault = always(200, WRONG[name])
    with pytest.raises(ClassifierInvalid):
        await started.score(["hello"], budget=10, seconds=60)
    assert started.health.fit
    server.fault = None
    assert (await started.score(["hello"], budget=10, seconds=60))[0].peak(0) < 0.1


@pytest.mark.parametrize("status", [400, 401, 404, 413, 422, 302])
async def test_one_text_cannot_take_the_guard_away(server: GuardServer, started: RemoteClassifier, status: int) -> None:
    """Texts that the server refuses, however many, leave it in use for others."""
    server.fault = always(status)
    for index in range(5):
        with pytest.raises(ClassifierInvalid):
            await started.score([f"text {index}"], budget=10, seconds=60)
    assert started.health.fit
    assert started.health.losses[Loss.REFUSED] == 5


@pytest.mark.parametrize("status", [500, 503, 429])
async def test_a_broken_server_is_left_alone(server: GuardServer, started: RemoteClassifier, status: int) -> None:
    """After three failures nothing more is sent: the classifier says at once that it is not there."""
    server.fault = always(status)
    for index in range(5):
        with pytest.raises(ClassifierUnavailable):
            await started.score([f"text {index}"], budget=10, seconds=60)
    assert (started.health.alive, started.health.fit) == (0, False)
    assert len(server.seen) == 3


async def test_a_hung_server_is_late(server: GuardServer) -> None:
    """No answer within the guard's own seconds is ClassifierTimeout, counted as hung."""
    classifier = RemoteClassifier(guard("vllm_classify", server.url, seconds=1))
    while not classifier.health.fit:  # on a busy machine the canaries can be late too
        with contextlib.suppress(ClassifierUnavailable):
            await classifier.start()
    server.gate.clear()
    with pytest.raises(ClassifierTimeout):
        await classifier.score(["hello"], budget=10, seconds=60)
    assert classifier.health.losses[Loss.HUNG] == 1
    server.gate.set()
    await classifier.close()


async def test_a_server_that_is_down_is_replaced_by_another(server: GuardServer) -> None:
    """With two servers, of which one is gone, every question is answered."""
    with serving() as gone:
        url = gone.url
    classifier = RemoteClassifier(guard("vllm_classify", url, server.url, seconds=60))
    await classifier.start()
    for index in range(6):
        assert (await classifier.score([f"{BAD} {index}"], budget=10, seconds=60))[0].peak(0) > 0.9
    assert (classifier.health.alive, classifier.health.wanted, classifier.health.fit) == (1, 2, True)
    assert classifier.health.losses[Loss.DIED] == 3
    await classifier.close()


async def test_a_start_without_a_server_may_be_tried_again(server: GuardServer) -> None:
    """No server: ClassifierUnavailable, and a later start succeeds."""
    classifier = RemoteClassifier(guard("vllm_classify", server.url, seconds=60))
    server.fault = always(503)
    with pytest.raises(ClassifierUnavailable):
        await classifier.start()
    assert not classifier.health.fit
    server.fault = None
    await classifier.start()
    assert classifier.health.fit
    await classifier.close()


@pytest.mark.parametrize("verdict", ["safe", "unsafe\nS9"])
async def test_a_model_that_cannot_tell_canaries_apart_is_not_used(server: GuardServer, verdict: str) -> None:
    """A server with another model, which finds everything safe or everything unsafe, is refused for good."""
    server.fault = always(200, json.dumps(chat(verdict)).encode())
    classifier = RemoteClassifier(guard("vllm", server.url, seconds=60))
    with pytest.raises(ClassifierArtefact):
        await classifier.start()
    assert not classifier.health.fit


async def test_a_ca_that_is_not_there_is_said(server: GuardServer) -> None:
    """A CA file that cannot be read keeps the guard from starting."""
    with pytest.raises(ClassifierUnavailable, match="CA"):
        await RemoteClassifier(guard("vllm_classify", server.url, ca="/nowhere/ca.pem")).start()


async def test_questions_are_bounded(server: GuardServer) -> None:
    """No more requests are in flight than configured, and one caller takes half of the turns at most."""
    classifier = RemoteClassifier(guard("vllm_classify", server.url, seconds=60, calls=4, batch=1))
    await classifier.start()
    server.seen.clear()
    server.gate.clear()
    long = asyncio.create_task(classifier.score(["plain words " * 400], budget=1000, seconds=120))
    async with asyncio.timeout(60):
        while len(server.seen) < 2:
            await asyncio.sleep(0.01)
    others = [asyncio.create_task(classifier.score([f"short {index}"], budget=10, seconds=120)) for index in range(6)]
    async with asyncio.timeout(60):
        while len(server.seen) < 4:
            await asyncio.sleep(0.01)
    asked = [body["input"][0] for _, body in server.seen]
    assert len(asked) == 4
    assert sum(text.startswith("short") for text in asked) == 2
    server.gate.set()
    await asyncio.gather(long, *others)
    await classifier.close()


async def test_close_ends_what_is_waiting(server: GuardServer, started: RemoteClassifier) -> None:
    """A question in flight when the classifier closes fails; it never counts as harmless."""
    server.gate.clear()
    asking = asyncio.create_task(started.score(["hello"], budget=10, seconds=60))
    async with asyncio.timeout(60):
        while not server.seen:
            await asyncio.sleep(0.01)
    await started.close()
    server.gate.set()
    with pytest.raises(ClassifierError):
        await asking


def test_the_fake_server_answers_every_path() -> None:
    """A path that no API has is an error of the test, not an answer."""
    with pytest.raises(KeyError):
        answer("/other", {})
