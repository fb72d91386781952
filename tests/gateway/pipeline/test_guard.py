"""Interruptions from outside, and the live switch: what a new snapshot does to exchanges in flight."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest
from support.canary import CANARY
from support.pipelines import (
    BOTH_DIALECTS,
    MODEL,
    OPENAI,
    PROMPT,
    SENTENCE,
    Bench,
    Client,
    bench,
    body_of,
    events_of,
    held_stream,
    policy,
    says,
)

from gateway.controls.broken import Broken, Fault
from gateway.demo.answers import Said
from gateway.demo.scripted import Until
from gateway.errors import Draining, ServingHalted
from gateway.ledger.base import Kind
from gateway.pipeline.guard import Guard
from gateway.pipeline.ports import ClientGone
from gateway.policy.snapshot import Snapshot
from gateway.verdict import Verdict
from gateway.wire.base import Dialect

LONG = tuple(SENTENCE[at : at + 6] for at in range(0, len(SENTENCE), 6)) * 6
TAIL = ("and the secret harbour",)
dialects = pytest.mark.parametrize("dialect", BOTH_DIALECTS, ids=lambda dialect: dialect.id)


@asynccontextmanager
async def streaming(
    snapshot: Snapshot, said: tuple[str, ...] = LONG + TAIL, dialect: Dialect = OPENAI, first: int = 60
) -> AsyncIterator[tuple[Bench, Client, asyncio.Event]]:
    """A bench with one stream in its middle; the gate lets the model go on."""
    gate = asyncio.Event()
    async with bench(snapshot=snapshot) as b:
        b.script(held_stream(events_of(dialect, Said(said)), first, gate))
        client = Client(body_of(dialect, stream=True))
        b.start(dialect, client)
        await client.until("harbour")
        yield b, client, gate


@dialects
async def test_a_halt_cuts_a_stream_within_a_second(dialect: Dialect) -> None:
    """A halt ends a stream with an error and no proper end, hangs up on the model server, and refuses all that follow."""
    async with streaming(policy(), dialect=dialect) as (b, client, _):
        b.holder.swap(policy(brake=5, revision=2))
        await asyncio.wait_for(b.tasks[0], PROMPT)
        assert (client.answer.done, client.answer.error is None, client.ended) == (False, False, True)
        assert (b.outcome["outcome"], b.outcome["finish"]) == ("halted", "error")
        await asyncio.wait_for(b.upstream.requests[0].left.wait(), PROMPT)
        late = await b.ask(dialect, body_of(dialect))
        assert (late.status, late.body["error"]["type"]) == (403, "permission_error")
        assert len(b.upstream.requests) == 1


async def test_a_raise_cuts_what_has_not_passed_the_new_controls() -> None:
    """From ASL-1 to ASL-3 in mid-stream: the CBRN controls were never passed, so the stream is cut at once."""
    async with streaming(policy(1)) as (b, client, _):
        b.holder.swap(policy(1, brake=3, revision=2))
        await asyncio.wait_for(b.tasks[0], PROMPT)
        assert (client.answer.done, b.outcome["outcome"]) == (False, "halted")


async def test_a_raise_that_adds_only_watchers_cuts_nothing() -> None:
    """From ASL-1 to ASL-2 nothing new can block, so a stream in flight goes on to its end."""
    async with streaming(policy(1)) as (b, client, gate):
        b.holder.swap(policy(1, brake=2, revision=2))
        gate.set()
        await b.finish()
        assert (client.answer.text, b.outcome["outcome"]) == ("".join(LONG + TAIL), "served")


async def test_a_model_that_is_no_longer_registered_is_cut() -> None:
    """A stream of a model that the new policy does not know ends like a halt."""
    async with streaming(policy()) as (b, client, _):
        b.holder.swap(policy(models=("another",), revision=2))
        await asyncio.wait_for(b.tasks[0], PROMPT)
        assert (client.answer.done, b.outcome["outcome"]) == (False, "halted")


@pytest.mark.parametrize("asl", [1, 3])
async def test_a_rule_added_in_mid_stream_applies_from_the_next_step(asl: int) -> None:
    """Also to a phrase that had begun before: it never completes at the client."""
    said = (*LONG, "of amber kestrel ", "proto", "col", " and more")
    async with streaming(policy(asl, rules=()), said, first=1 + len(LONG) + 1) as (b, client, gate):
        if asl == 1:
            await client.until("kestrel")
        b.holder.swap(policy(asl, revision=2))
        gate.set()
        await b.finish()
        assert (b.outcome["outcome"], b.outcome["control"]) == ("blocked_output", "rules")
        assert "proto" not in client.answer.text
        assert client.answer.finishes == ["content_filter"]
        assert len(str(b.outcome["policy"]).split(",")) == 2
        assert len(str(b.ledger.of(Kind.INTENT)[0]["policy"]).split(",")) == 1


async def test_a_rule_added_after_the_phrase_was_said() -> None:
    """What the answer has said so far is judged again: a phrase that had left already ends the answer too."""
    said = (*LONG, f"the {CANARY} is ", *LONG)
    async with streaming(policy(1, rules=()), said, first=1 + len(LONG) + 3) as (b, client, gate):
        await client.until("protocol")
        b.holder.swap(policy(1, revision=2))
        gate.set()
        await b.finish()
        assert b.outcome["outcome"] == "blocked_output"
        assert client.answer.text.endswith("harbour") is False


async def test_a_whole_answer_hold_applies_from_the_next_step() -> None:
    """A hold that becomes stricter in mid-stream keeps the rest until the answer is complete."""
    async with streaming(policy(1)) as (b, client, gate):
        terms = b.holder.current.entries[MODEL].terms
        entry = replace(b.holder.current.entries[MODEL], terms=replace(terms, hold=type(terms.hold)(1)))
        b.holder.swap(replace(b.holder.current, digest="sha256:whole", revision=2, entries={MODEL: entry}))
        gate.set()
        await b.finish()
        assert (client.answer.text, b.outcome["outcome"]) == ("".join(LONG + TAIL), "served")


async def test_a_release_loosens_nothing_in_flight() -> None:
    """An exchange that began under a rule and a level is judged under them to its end."""
    said = (*LONG, "of amber kestrel ", "proto", "col", " and more")
    async with streaming(policy(1, brake=3), said) as (b, client, gate):
        b.holder.swap(policy(1, rules=(), revision=2))
        gate.set()
        await b.finish()
        assert (b.outcome["outcome"], b.outcome["asl"]) == ("blocked_output", "asl-3")
        assert "proto" not in client.answer.text


async def test_a_policy_that_changes_nothing_for_it_lets_a_stream_go_on() -> None:
    """A snapshot with more rules that do not match ends in a served answer under both."""
    async with streaming(policy(rules=())) as (b, client, gate):
        b.holder.swap(policy(revision=2))
        gate.set()
        await b.finish()
        assert (client.answer.text, b.outcome["outcome"]) == ("".join(LONG + TAIL), "served")


@pytest.mark.parametrize(
    ("change", "outcome"),
    [
        (policy(1, brake=5, revision=2), "halted"),
        (policy(1, brake=3, revision=2), "halted"),
        (policy(1, revision=2), "blocked_output"),
        (policy(1, rules=(), revision=2), "served"),
    ],
    ids=["halt", "raise", "rule", "nothing"],
)
async def test_a_change_while_the_model_server_is_silent(change: Snapshot, outcome: str) -> None:
    """A halt or raise ends the wait for the head at once; a rule applies to the answer that comes."""
    gate = asyncio.Event()
    async with bench(snapshot=policy(1, rules=())) as b:
        answer = says(OPENAI, Said((CANARY,)), stream=False)
        b.script((Until(gate), *answer))
        client = Client(body_of(OPENAI))
        b.start(OPENAI, client)
        await b.reached()
        b.holder.swap(change)
        if outcome != "halted":
            gate.set()
        await asyncio.wait_for(b.tasks[0], PROMPT)
        assert b.outcome["outcome"] == outcome
        assert (CANARY.encode() in client.data) is (outcome == "served")
        assert client.status == (403 if outcome == "halted" else 200)


@pytest.mark.parametrize("when", ["judging", "recording"])
async def test_a_change_before_the_request_was_sent(when: str) -> None:
    """A rule that comes while the request is judged or its row is written judges the request before it is forwarded."""
    async with bench(snapshot=policy(1, rules=())) as b:
        if when == "judging":
            client = Client(body_of(OPENAI, CANARY))
            client.uploading.clear()
            b.start(OPENAI, client)
            await asyncio.sleep(0.01)
            b.holder.swap(policy(1, revision=2))
            client.uploading.set()
        else:
            plain = b.ledger.append

            def append(kind, fields):  # type: ignore[no-untyped-def]  # as the ledger's
                if kind is Kind.INTENT:
                    b.holder.swap(policy(1, revision=2))
                return plain(kind, fields)

            b.ledger.append = append  # type: ignore[method-assign]  # a policy change at just this moment
            b.start(OPENAI, Client(body_of(OPENAI, CANARY)))
        await b.finish()
        assert (b.outcome["outcome"], b.upstream.requests) == ("blocked_input", [])


async def test_a_feature_that_becomes_refused_while_it_is_used() -> None:
    """Logprobs are fine at ASL-1; a raise to a level that refuses them ends the exchange that asked for them."""
    gate = asyncio.Event()
    async with bench(1) as b:
        b.script((Until(gate),))
        b.start(OPENAI, Client(body_of(OPENAI, logprobs=True)))
        await b.reached()
        changed = b.holder.current.entries[MODEL]
        refused = frozenset(
            use.feature for use in OPENAI.parse(body_of(OPENAI, logprobs=True), b.pipeline.rooms.wire).uses
        )
        entry = replace(changed, terms=replace(changed.terms, refused=refused))
        b.holder.swap(replace(b.holder.current, digest="sha256:other", revision=2, entries={MODEL: entry}))
        await asyncio.wait_for(b.tasks[0], PROMPT)
        assert b.outcome["outcome"] == "halted"


class Deaf(Broken):
    """Keeps a cancellation to itself and answers as if nothing had happened."""

    def __init__(self, name: str) -> None:
        super().__init__(name, Fault.NONE)
        self.working = asyncio.Event()

    async def spoil(self, verdict: Verdict) -> Any:
        self.working.set()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(0.1)
        return verdict


@pytest.mark.parametrize("name", ["input_screen", "output_screen"])
@pytest.mark.parametrize("why", ["halt", "leave", "drain"])
async def test_a_control_that_swallows_the_interruption_changes_nothing(name: str, why: str) -> None:
    """An interruption holds even where a control keeps the cancellation to itself: nothing is forwarded, no text leaves."""
    judge = Deaf(name)
    async with bench(listed=[judge]) as b:
        b.script(says(OPENAI, Said(LONG), stream=False))
        client = Client(body_of(OPENAI))
        b.start(OPENAI, client)
        await asyncio.wait_for(judge.working.wait(), PROMPT)
        acts = {"halt": lambda: b.holder.swap(policy(brake=5, revision=2)), "leave": client.leave}
        acts.get(why, b.pipeline.interrupt)()
        await asyncio.wait_for(b.tasks[0], PROMPT)
        assert b.outcome["outcome"] == {"halt": "halted", "leave": "abandoned", "drain": "overloaded"}[why]
        assert len(b.upstream.requests) == (name == "output_screen")
        assert b"harbour" not in client.data


def cancelling() -> int:
    """How many cancellations of the running task are open."""
    task = asyncio.current_task()
    assert task is not None
    return task.cancelling()


async def interrupted(guard: Guard, *reasons: Exception, ending: Exception | None = None) -> None:
    """A guarded part that is interrupted; with ``ending`` it swallows that, and ends with it or (``StopIteration``) in peace."""
    with guard:
        for reason in reasons:
            guard.fire(reason)  # type: ignore[arg-type]  # the reasons that a guard takes
        if ending is None:
            await asyncio.sleep(1)
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(0)
        if reasons:
            with pytest.raises(type(reasons[0])):
                guard.check()
        if not isinstance(ending, StopIteration):
            raise ending or AssertionError


async def test_the_first_reason_wins_and_a_late_one_is_ignored() -> None:
    """Only the first of several reasons counts, and none outside the guarded part."""
    guard = Guard()
    guard.fire(ClientGone())
    guard.check()
    with pytest.raises(Draining):
        await interrupted(guard, Draining("first"), ServingHalted("second"))
    guard.fire(ServingHalted("third"))
    with pytest.raises(Draining):
        guard.check()
    assert cancelling() == 0


@pytest.mark.parametrize("reasons", [(), (ClientGone(),)], ids=["not fired", "fired"])
async def test_another_error_in_the_guarded_part_stays_itself(reasons: tuple[Exception, ...]) -> None:
    """An exception that is no cancellation passes, fired or not, and the task is not left cancelled."""
    with pytest.raises(KeyError):
        await interrupted(Guard(), *reasons, ending=KeyError())
    assert cancelling() == 0


async def test_a_swallowed_interruption_still_ends_the_guarded_part() -> None:
    """A guarded part that ends as if nothing had happened ends with the reason; ``check`` says so earlier."""
    with pytest.raises(ClientGone):
        await interrupted(Guard(), ClientGone(), ending=StopIteration())
    assert cancelling() == 0


async def test_a_cancellation_from_elsewhere_passes() -> None:
    """A task that somebody else cancels as well stays cancelled."""
    guard = Guard()

    async def guarded() -> None:
        with guard:
            await asyncio.sleep(1)

    for fired in (False, True):
        task = asyncio.ensure_future(guarded())
        await asyncio.sleep(0)
        if fired:
            guard.fire(ClientGone())
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
