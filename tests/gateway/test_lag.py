"""The loop's steps: measured as CPU time of the loop's thread, named, and within 2 ms for bodies up to 256 KiB."""

from __future__ import annotations

import asyncio
import base64
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from support.loops import playing, speaks
from support.running import CHAT, SECONDS, Running, flags, gateway, question

from gateway.demo.answers import Said, openai_events, openai_unary
from gateway.demo.scripted import CHUNKED, Handler, Script, ScriptedUpstream, Send, chunk, head, streamed, unary
from gateway.lag import BOUNDS_MS, ENVIRONMENT, SLOWEST, Lag, LagLoop, lag_file

# The claim is 2 ms. CI's cores may be half as fast and shared with other tests, so that caches are cold: twice that fails here.
BAR_MS = 4.0
TIMES = 3  # a step that is too long comes with every request; what comes only once is the machine
KIB = 1024
PROSE = "The harbour lies still in the morning, and the boats come back. "
FOREIGN = "Ещё один день у моря, 船が戻る。 "


def burn(seconds: float) -> None:
    """Use CPU time."""
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        pass


def run(work: Any) -> Lag:
    """Run a coroutine on a measured loop."""
    loop = LagLoop()
    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        runner.run(work)
    return loop.lag


def test_the_slowest_step_is_found_and_named() -> None:
    """A coroutine that holds the loop stands first, under its name and the place where it waits next."""

    async def holds_the_loop() -> None:
        await asyncio.sleep(0)
        burn(0.03)
        await asyncio.sleep(0)

    lag = run(holds_the_loop())
    (took, name), *_ = json.loads(lag.report())["slowest"]
    assert took >= 30
    assert "holds_the_loop > sleep" in name
    assert lag.worst_ms >= 30
    assert lag.steps == sum(lag.counts) > 2


def test_callbacks_timers_and_sockets_are_measured() -> None:
    """Whatever way a step comes to run: soon, later, from a thread."""

    async def work() -> None:
        loop, done = asyncio.get_running_loop(), asyncio.Event()

        def soon() -> None:
            burn(0.011)
            loop.call_later(0.01, later)

        def later() -> None:
            burn(0.012)
            loop.run_in_executor(None, lambda: loop.call_soon_threadsafe(threadsafe))

        def threadsafe() -> None:
            burn(0.013)
            done.set()

        loop.call_soon(soon)
        await done.wait()

    names = [name for took, name in json.loads(run(work()).report())["slowest"] if took > 10]
    assert [name.rpartition(".")[2] for name in names] == ["threadsafe", "later", "soon"]


def test_waiting_and_other_threads_do_not_count() -> None:
    """What sleeps, or is kept from running by a busy thread, has used no CPU time of the loop's thread."""

    async def work() -> None:
        busy = asyncio.get_running_loop().run_in_executor(None, burn, 0.1)
        time.sleep(0.05)  # the loop's thread is held, but does nothing
        await busy

    assert run(work()).worst_ms < 40


def test_counts_and_the_number_of_names_are_bounded() -> None:
    """Steps go into their bucket; only the slowest keep a name; what was measured can be forgotten."""
    lag = Lag()
    for number in range(100):
        lag.took(number / 10, None)
    lag.took(1e6, None)
    assert lag.counts[0] == 1
    assert lag.counts[-1] == 1
    assert len(lag.slowest) == SLOWEST
    assert len(lag.counts) == len(BOUNDS_MS) + 1
    lag.clear()
    assert (lag.steps, lag.worst_ms, lag.slowest) == (0, 0.0, [])


def test_it_is_off_unless_asked_for() -> None:
    """Only the environment variable switches it on."""
    assert lag_file({}) is None
    assert lag_file({ENVIRONMENT: ""}) is None
    assert lag_file({ENVIRONMENT: "/tmp/x.json"}) == Path("/tmp/x.json")


@pytest.fixture
def upstream() -> Iterator[ScriptedUpstream]:
    """A model server."""
    with playing() as server:
        yield server


def chat(messages: list[dict[str, Any]], **more: Any) -> bytes:
    """A chat request, not escaped."""
    return json.dumps({"model": "demo-model", "messages": messages, **more}, ensure_ascii=False).encode()


def user(content: Any) -> bytes:
    """One user turn."""
    return chat([{"role": "user", "content": content}])


TOOL = {"description": "does it", "parameters": {"type": "object", "properties": {"a": {"type": "string"}}}}
BODIES = {
    "prose": user((PROSE * 5000)[: 256 * KIB - 200]),
    "not ASCII": user((FOREIGN * 9000)[: 130 * KIB]),
    "many texts": user([{"type": "text", "text": "a b"} for _ in range(7000)]),
    "many turns": chat([{"role": ("user", "assistant")[n % 2], "content": "hi there"} for n in range(5401)]),
    "many tools": chat(
        [{"role": "user", "content": "x"}],
        tools=[{"type": "function", "function": {"name": f"t{n}", **TOOL}} for n in range(1700)],
    ),
    "base64": user(base64.b64encode(bytes(range(256)) * 750).decode()),
    "escapes": user("a:b\\u003a" * 20_000),
    "no JSON": b"[" * 256 * KIB,
}


def report(upstream: ScriptedUpstream, folder: Path, asks: list[bytes], *, classifiers: bool = False) -> dict[str, Any]:
    """Ask a real gateway of its own process, scrape it too, and read what it measured."""
    file = folder / "lag.json"
    arguments = flags(upstream.url, folder / "state")
    if classifiers:
        arguments.remove("--no-classifiers")
    with gateway(folder / "state", arguments, {ENVIRONMENT: str(file)}) as running:
        for body in asks:
            for _ in range(TIMES):
                _ask(running, body)
        httpx.get(running.admin + "/metrics", trust_env=False, timeout=SECONDS)
        assert running.stop() == 0
    found: dict[str, Any] = json.loads(file.read_text())
    return found


def _ask(running: Running, body: bytes) -> None:
    answer = httpx.post(
        running.data + CHAT,
        content=body,
        headers={"content-type": "application/json"},
        trust_env=False,
        timeout=SECONDS,
    )
    assert answer.status_code in {200, 400, 413}, answer.text


@pytest.mark.parametrize("name", BODIES)
def test_no_body_up_to_256_kib_holds_the_loop(upstream: ScriptedUpstream, tmp_path: Path, name: str) -> None:
    """Whatever it is made of: reading, parsing, judging, recording and sending it on takes no step over the bar."""
    assert len(BODIES[name]) <= 256 * KIB
    upstream.script(speaks(Said(("Good day.",))))
    found = report(upstream, tmp_path, [BODIES[name]])
    assert sum(found["counts"]) > 50
    assert found["slowest"][TIMES - 1][0] <= BAR_MS, found["slowest"][:4]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["many texts", "not ASCII", "base64"])
def test_no_body_holds_the_loop_with_classifiers(upstream: ScriptedUpstream, tmp_path: Path, name: str) -> None:
    """Views, windows and marks of what a classifier screens are made in threads."""
    upstream.script(speaks(Said(("Good day.",))))
    found = report(upstream, tmp_path, [BODIES[name]], classifiers=True)
    assert found["slowest"][TIMES - 1][0] <= BAR_MS, found["slowest"][:4]


BURST = b"".join(openai_events(Said(("word ",) * 3000)))
ANSWERS: dict[str, tuple[bool, Script]] = {
    "one body": (False, unary(openai_unary(Said(((PROSE * 5000)[: 250 * KIB],))))),
    "one body, not ASCII": (False, unary(openai_unary(Said(((FOREIGN * 9000)[: 80 * KIB],))))),
    "steps of 2,048 characters, not ASCII": (
        True,
        streamed(openai_events(Said(((FOREIGN * 100)[:2048],) * 30)), pace=0.002),
    ),
    "steps of 20,000 characters, not ASCII": (True, streamed(openai_events(Said(((FOREIGN * 900)[:20_000],) * 5)))),
    "3,000 events at once": (
        True,
        (Send(head(content_type="text/event-stream", length=CHUNKED)), Send(chunk(BURST)), Send(chunk(b""))),
    ),
}


@pytest.mark.parametrize("name", ANSWERS)
def test_no_answer_holds_the_loop(upstream: ScriptedUpstream, tmp_path: Path, name: str) -> None:
    """Long answers, long steps and bursts of events are worked off in steps under the bar."""
    stream, script = ANSWERS[name]
    answer: Handler = lambda _: script  # noqa: E731
    upstream.script(answer)
    found = report(upstream, tmp_path, [json.dumps(question(stream=stream)).encode()])
    assert found["slowest"][TIMES - 1][0] <= BAR_MS, found["slowest"][:4]
