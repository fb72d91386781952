"""Any order of requests, switches and faults keeps the five claims that matter, and faults leave nothing behind."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from hypothesis import given, settings
from hypothesis import strategies as st
from support.canary import CANARY
from support.pipelines import BOTH_DIALECTS, SENTENCE, Bench, Client, bench, body_of, policy, says

from gateway.demo.answers import Said
from gateway.ledger.base import Kind

ASKS = ("benign", "bad prompt", "bad answer", "leaves")
SWITCHES = ("halt", "release", "raise", "rules", "no rules")
FAULTS = ("raise", "nonsense", "ok", "ledger refuses", "ledger takes")
ACTS = st.lists(st.sampled_from(ASKS * 2 + SWITCHES + FAULTS), min_size=1, max_size=14)


@dataclass(slots=True)
class World:
    """A bench and what must hold in it."""

    b: Bench
    revision: int = 1
    brake: int = 0
    rules: bool = True
    unrecorded: int = 0

    def switch(self, act: str) -> None:
        """Another policy."""
        self.brake = {"halt": 5, "release": 0, "raise": 3}.get(act, self.brake)
        self.rules = {"rules": True, "no rules": False}.get(act, self.rules)
        self.revision += 1
        rules = {} if self.rules else {"rules": ()}
        self.b.holder.swap(policy(1, brake=self.brake, revision=self.revision, **rules))  # type: ignore[arg-type]  # one key

    def fault(self, act: str) -> None:
        """Something breaks or is mended."""
        if act.startswith("ledger"):
            self.b.ledger.refusing = act == "ledger refuses"
        else:
            self.b.classifier.mode = act  # type: ignore[assignment]  # one of its modes

    async def ask(self, act: str, number: int) -> None:
        """One exchange, and what it may and may not have done."""
        b, dialect, stream = self.b, BOTH_DIALECTS[number % 2], bool(number // 2 % 2)
        said = f"{SENTENCE}{CANARY} {SENTENCE}" if act == "bad answer" else SENTENCE * 3
        b.script(says(dialect, Said(tuple(said)), stream=stream))
        client = Client(body_of(dialect, CANARY if act == "bad prompt" else "hello", stream=stream))
        before = len(b.upstream.requests)
        b.start(dialect, client)
        if act == "leaves":
            await asyncio.sleep(0.002)
            client.leave()
        await b.finish()
        forwarded = len(b.upstream.requests) - before
        assert forwarded <= (self.brake != 5 and not b.ledger.refusing)
        if forwarded:
            assert b.intents_seen[-1] == len(b.ledger.of(Kind.INTENT))
        if self.rules or self.brake == 3:  # without rules the classifier judges, where the level asks for it
            assert CANARY.encode() not in client.data or b.classifier.mode != "ok"
        if self.rules:
            assert CANARY.encode() not in client.data
            assert not (forwarded and act == "bad prompt")
        if b.ledger.refusing:
            self.unrecorded += 1
            assert client.status in {0, 503, *({403} if self.brake == 5 else set())} or act == "bad prompt"
            assert b"harbour" not in client.data


async def live(acts: list[str]) -> None:
    """Do all that, mend everything, and ask once more."""
    async with bench(snapshot=policy(1), counted=False) as b:
        world = World(b)
        for number, act in enumerate(acts):
            if act in ASKS:
                await world.ask(act, number)
            elif act in SWITCHES:
                world.switch(act)
            else:
                world.fault(act)
        for act in ("release", "rules"):
            world.switch(act)
        for act in ("ok", "ledger takes"):
            world.fault(act)
        b.clock.advance(60)
        await world.ask("benign", 0)
        assert b.outcome["outcome"] == "served"
        assert len(b.ledger.of(Kind.OUTCOME)) == len(b.tasks) - world.unrecorded
        assert b.total("requests_total") == len(b.tasks)


@settings(max_examples=40, deadline=None)
@given(acts=ACTS)
def test_whatever_happens_the_claims_hold(acts: list[str]) -> None:
    """No request before its row, none while halted or unrecorded, no canary under a rule, one row each, and served again after."""
    asyncio.run(live(acts))
