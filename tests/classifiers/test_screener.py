from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path
from types import MappingProxyType

from support.fake_engine import FakeEngine
from support.odd_screener import odd
from support.tiny_model import write_folder

from classifiers.base import Card, ClassifierArtefact
from classifiers.frames import Ask, Drop, Failed, Found, Frames, Hello, Over, Part, Ping, Pong, Refused, Reply, frame
from classifiers.screener import OOM_SCORE, Screener, Weights, inherited, launch, serve

CARD = Card("fake", "1", ("cbrn",), MappingProxyType({"cbrn.block": 0.05}), 64, 32, "0" * 64)


class Peer:
    """The gateway's end of a socket."""

    def __init__(self, connection: socket.socket) -> None:
        self.connection = connection
        self._frames = Frames.replies()
        self._got: list[Reply] = []

    async def say(self, data: bytes) -> None:
        """Send bytes."""
        await asyncio.get_running_loop().sock_sendall(self.connection, data)

    async def hear(self) -> Reply:
        """The next reply. Raises EOFError."""
        async with asyncio.timeout(60):
            while not self._got:
                data = await asyncio.get_running_loop().sock_recv(self.connection, 1 << 16)
                if not data:
                    raise EOFError
                self._frames.feed(data)
                self._got += self._frames.messages()
        return self._got.pop(0)


@contextlib.asynccontextmanager
async def talking(weights: Weights | ClassifierArtefact) -> AsyncIterator[tuple[Peer, asyncio.Task[None]]]:
    """A screener in this process, and the other end of its socket."""
    ours, theirs = socket.socketpair()
    ours.setblocking(False)

    def load() -> Weights:
        if isinstance(weights, ClassifierArtefact):
            raise weights
        return weights

    task = asyncio.create_task(serve(theirs, load, Screener))
    try:
        yield Peer(ours), task
    finally:
        ours.close()
        async with asyncio.timeout(60):
            await task


def spans(part: Reply) -> list[tuple[float, ...]]:
    """The scores in a part."""
    assert isinstance(part, Part)
    return [scores for _, _, scores in part.spans]


async def test_a_conversation() -> None:
    """Hello first; then answers with counts and windows, refusals by the limit, failures by kind, and signs of life."""
    engine = FakeEngine()
    async with talking(Weights(CARD, engine)) as (peer, _):
        assert await peer.hear() == Hello(CARD.digest)
        await peer.say(frame(Ask(1, (b"one three", b""), 9, 0, 1)))
        assert await peer.hear() == Found(1, (2, 0), (2, 0), 2)
        assert spans(await peer.hear()) == [(0.03,), (0.05,)]
        await peer.say(frame(Ask(2, (b"one three",), 9, 1, 2)))
        assert [type(await peer.hear()), spans(await peer.hear())] == [Found, [(0.05,)]]
        await peer.say(frame(Ask(3, (b"a b c",), 2, 0, 1)))
        assert await peer.hear() == Over(3, 3)
        for number, text, kind in ((4, b"nan", "invalid"), (5, b"raise", "unavailable"), (6, b"\xff", "unavailable")):
            await peer.say(frame(Ask(number, (text,), 9, 0, 1)))
            failed = await peer.hear()
            assert isinstance(failed, Failed)
            assert (failed.id, failed.kind) == (number, kind)
        await peer.say(frame(Ping()))
        pong = await peer.hear()
        assert isinstance(pong, Pong)
        assert pong.progress > 0


async def test_short_texts_overtake_and_dropped_ones_are_not_answered() -> None:
    """While a long text hangs in the model, it shows as busy; dropped, it is never answered."""
    engine = FakeEngine()
    async with talking(Weights(CARD, engine)) as (peer, _):
        await peer.hear()
        await peer.say(frame(Ask(1, (b"block",), 9, 0, 1)))
        assert await asyncio.to_thread(engine.blocked.acquire, True, 30)
        await peer.say(frame(Ping()) + frame(Drop(1)) + frame(Drop(77)))
        pong = await peer.hear()
        assert isinstance(pong, Pong)
        assert pong.busy
        await peer.say(frame(Ask(2, (b"next",), 9, 0, 1)))
        engine.gate.set()
        assert await peer.hear() == Found(2, (1,), (1,), 1)


async def test_refused_weights_and_garbage_end_it() -> None:
    """A screener that cannot load says why; one that is told garbage ends without a word."""
    async with talking(ClassifierArtefact("another digest")) as (peer, task):
        assert await peer.hear() == Refused("another digest")
        await task
    async with talking(Weights(CARD, FakeEngine())) as (peer, task):
        await peer.hear()
        await peer.say(b"\xff" * 8)
        await task


def test_what_a_screener_inherits() -> None:
    """Libraries, languages and clocks, and no credential."""
    given = {"PATH": "/bin", "LC_ALL": "C", "FAKETIME": "+1d", "UPSTREAM_KEY": "secret", "ASL_GATEWAY__STATE": "x"}
    assert sorted(inherited(given)) == ["FAKETIME", "LC_ALL", "PATH"]


async def test_a_real_process(tmp_path: Path) -> None:
    """The command line loads the pinned weights, leaves no core file, dies first when memory is short, and ends with its socket."""
    digest = write_folder(tmp_path / "weights")
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    with ours, theirs:
        command = launch(tmp_path / "weights", digest, theirs.fileno())
        with subprocess.Popen(command, pass_fds=(theirs.fileno(),), env=inherited(os.environ), cwd="/") as process:
            theirs.close()
            peer = Peer(ours)
            assert await peer.hear() == Hello(digest)
            await peer.say(frame(Ask(1, (b"z z",), 9, 0, 1)))
            assert await peer.hear() == Found(1, (1,), (2,), 1)
            about = Path(f"/proc/{process.pid}")
            assert (about / "oom_score_adj").read_text().strip() == OOM_SCORE
            limits = (about / "limits").read_text().splitlines()
            assert next(line for line in limits if line.startswith("Max core file size")).split()[4:6] == ["0", "0"]
            ours.close()
            assert await asyncio.to_thread(process.wait, 60) == 0


def test_a_process_whose_parent_is_another_ends(tmp_path: Path) -> None:
    """Started by a gateway that is gone already, it does not stay."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        command = odd(tmp_path)(theirs.fileno())
        command[command.index(str(os.getpid()))] = "1"
        done = subprocess.run(command, pass_fds=(theirs.fileno(),), timeout=60, check=False)
    assert done.returncode == 1
