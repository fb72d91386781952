"""Controls and the classifier's threads fail in every way: a substitute judges or the exchange is refused, and the record names it."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

import pytest
from support.canary import CANARY
from support.fake_engine import FakeEngine
from support.faulting import scene
from support.pipelines import OPENAI, Bench, Client, bench, body_of, policy, says
from support.running import request, until

from classifiers.artefacts import Canaries
from classifiers.base import Card
from classifiers.embedded import EmbeddedClassifier, Loaded
from gateway.controls.broken import Broken, Fault
from gateway.controls.input_screen import InputScreen
from gateway.controls.output_screen import OutputScreen
from gateway.demo.answers import Said
from gateway.policy.snapshot import Snapshot

FAULTS = [fault for fault in Fault if fault not in {Fault.NONE, Fault.SUBCLASS}]
WAITING = {Fault.HANGS, Fault.LATE}
TEXT = ("The boats come back with the tide. ",) * 8
CARD = Card("fake", "1", ("cbrn",), MappingProxyType({"cbrn.block": 0.9, "cbrn.near": 0.5}), 64, 32, "0" * 64)


def patient(snapshot: Snapshot, deadline_ms: int) -> Snapshot:
    """The same policy with another deadline for every group: short only where a test waits for it."""
    (entry,) = snapshot.entries.values()
    groups = frozenset(replace(group, deadline_ms=deadline_ms) for group in entry.terms.groups)
    return replace(snapshot, entries={entry.name: replace(entry, terms=replace(entry.terms, groups=groups))})


def deadline(fault: Fault) -> int:
    """Milliseconds."""
    return 500 if fault in WAITING else 30_000


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.value)
async def test_a_broken_control_has_a_substitute(fault: Fault) -> None:
    """Classifier controls that break are stood in for by the stricter lexicon; row and metrics say so; mended, they judge again."""
    broken = [Broken("input_screen", fault), Broken("output_screen", fault)]
    async with bench(snapshot=patient(policy(), deadline(fault)), listed=broken) as b:
        b.script(says(OPENAI, Said(TEXT), stream=True))
        client = await _ask(b)
        assert (client.answer.text, b.outcome["outcome"]) == ("".join(TEXT), "served")
        assert b.outcome["substitutes"] == "cbrn_input,cbrn_output"
        assert "input_screen:" in str(b.outcome["failures"])
        assert b.total("control_failures_total", control="input_screen") >= 1
        assert b.total("substitute_active") == 2
        b.script(says(OPENAI, Said((f"Now the {CANARY} follows.",)), stream=True))
        assert CANARY not in (await _ask(b)).answer.text
        await _mended(b, broken)


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.value)
async def test_a_broken_control_without_a_substitute(fault: Fault) -> None:
    """With the substitute broken too: 503, nothing forwarded, on record as unevaluated; mended, benign traffic is served again."""
    broken = [Broken(name, fault) for name in ("input_screen", "output_screen", "lexicon")]
    async with bench(snapshot=patient(policy(), deadline(fault)), listed=broken) as b:
        b.script(says(OPENAI, Said(TEXT), stream=True))
        client = await _ask(b)
        assert (client.status, b.outcome["outcome"], b.outcome["cause"]) == (503, "unevaluated", "infrastructure")
        assert b.upstream.requests == []
        assert b.total("requests_total", outcome="unevaluated") == 1
        await _mended(b, broken)


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.value)
async def test_a_control_that_breaks_on_the_answer(fault: Fault) -> None:
    """Judges of answers, substitute too: nothing of the answer leaves, the model server is let go, and mended it is served."""
    broken = [Broken(name, Fault.NONE) for name in ("input_screen", "output_screen", "lexicon")]
    async with bench(snapshot=patient(policy(), deadline(fault)), listed=broken) as b:
        b.script(says(OPENAI, Said(TEXT), stream=True))
        for control in broken[1:]:
            control.fault = fault
        client = await _ask(b)
        assert (client.status, b.outcome["outcome"], b.outcome["released"]) == (503, "unevaluated", 0)
        assert b"boats" not in client.data
        await _mended(b, broken)


async def _ask(b: Bench, text: str = "How are the boats?") -> Client:
    client = Client(body_of(OPENAI, text, stream=True))
    await asyncio.wait_for(b.start(OPENAI, client), 30)
    return client


async def _mended(b: Bench, broken: list[Broken]) -> None:
    for control in broken:
        control.fault = Fault.NONE
    b.clock.advance(60)  # a control that rests after missed deadlines is asked again
    b.holder.swap(patient(policy(revision=2), 30_000))
    b.script(says(OPENAI, Said(TEXT), stream=True))
    client = await _ask(b)
    assert (client.answer.text, b.outcome["outcome"]) == ("".join(TEXT), "served")
    assert (b.outcome["substitutes"], b.outcome["failures"]) == ("", "")
    assert b.total("substitute_active") == 0


@contextlib.asynccontextmanager
async def threaded(deadline_ms: int) -> AsyncIterator[tuple[Bench, FakeEngine]]:
    """A pipeline whose classifier runs in real worker threads over an engine that obeys the words of a text."""
    engine = FakeEngine()
    classifier = EmbeddedClassifier(CARD, lambda: Loaded(engine, Canaries("cbrn", ("ok",), ("x" * 95,))))
    await classifier.start()
    try:
        listed = [InputScreen(classifier), OutputScreen(classifier)]
        async with bench(snapshot=patient(policy(), deadline_ms), listed=listed) as b:
            b.script(says(OPENAI, Said(TEXT), stream=True))
            yield b, engine
    finally:
        engine.gate.set()
        await classifier.close()


@pytest.mark.parametrize("word", ["die", "raise", "nan", "few", "big", "unplannable"])
async def test_a_classifier_thread_that_dies(word: str) -> None:
    """A thread that dies or answers nonsense costs its own exchange a substitute, more often than there are threads; others none."""
    async with threaded(30_000) as (b, _):
        for number in range(4):
            await _ask(b, f"Boats {number} {word}")
            assert (b.outcome["outcome"], "cbrn_input" in str(b.outcome["substitutes"])) == ("served", True)
            assert "input_screen:control_" in str(b.outcome["failures"])
        b.clock.advance(60)
        await _ask(b, "And how are the boats now?")
        assert (b.outcome["outcome"], b.outcome["substitutes"], b.outcome["failures"]) == ("served", "", "")


async def test_classifier_threads_that_hang() -> None:
    """Every thread stuck in the model: the lexicon judges within the deadline; when they come back, the classifier does again."""
    async with threaded(500) as (b, engine):
        for number in range(4):
            await _ask(b, f"Boats {number} block")
            assert b.outcome["outcome"] == "served"
            assert "cbrn_input" in str(b.outcome["substitutes"])
        engine.gate.set()
        b.clock.advance(60)
        async with asyncio.timeout(30):
            while b.outcome["substitutes"]:
                await _ask(b, f"And how are the boats now? {len(b.tasks)}")
                b.clock.advance(60)
        assert b.outcome["failures"] == ""


async def test_a_client_that_leaves_while_a_control_judges() -> None:
    """Gone before the verdict: nothing is forwarded, the row says abandoned, and nothing stays reserved."""
    broken = Broken("input_screen", Fault.HANGS)
    async with bench(snapshot=patient(policy(), 30_000), listed=[broken]) as b:
        client = Client(body_of(OPENAI))
        task = b.start(OPENAI, client)
        async with asyncio.timeout(30):
            while not broken.asked:
                await asyncio.sleep(0.002)
        client.leave()
        await asyncio.wait_for(task, 30)
        assert (b.outcome["outcome"], b.upstream.requests) == ("abandoned", [])
        await _mended(b, [broken])


def test_gone_before_the_verdict_of_the_model(tmp_path: Path) -> None:
    """A client that leaves while the real classifier works on its long prompt: nothing is forwarded, and the row is there."""
    long = " ".join(
        f"Boat {number} lies in harbour {number * 7}, waiting for tide {number * 13}." for number in range(2500)
    )
    with scene(tmp_path, classifiers=True) as one:
        host, port = one.running.data.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port)), 30) as client:
            client.sendall(request(text=long))
        row = until(lambda: one.rows("outcome"))[0]
        assert (row["outcome"], one.upstream.requests, one.rows("intent")) == ("abandoned", [], [])
        one.served()
