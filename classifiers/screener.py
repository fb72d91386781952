"""The screener process: verified weights of its own, one thread of inference, one socket to the gateway that started it.

It lives as long as that socket: when the gateway ends in any way, the kernel closes the other end (and, on Linux, kills the
screener even where it is stopped). Signals sent to the whole group or container do not end it, since answers in flight must be
judged until the gateway has drained. The gateway starts it with the command line of ``launch``; no file, no port, no name.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import json
import os
import resource
import signal
import socket
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NoReturn

from classifiers.artefacts import load_card
from classifiers.base import Card, ClassifierError, ClassifierInvalid, OverBudget
from classifiers.batching import Workers
from classifiers.embedded import load_folder
from classifiers.frames import (
    PART_WINDOWS,
    Ask,
    Drop,
    Failed,
    Found,
    FrameError,
    Frames,
    Hello,
    Over,
    Part,
    Pong,
    Refused,
    Reply,
    frame,
    unpack,
)
from classifiers.job import Engine, Share, Sweep

READ_BYTES: Final = 1 << 16
# The gateway bounds what it asks; this is far above it.
MOST_WAITING: Final = 1 << 16
MOST_REASON: Final = 1000
# Short of memory, the kernel takes a screener before the gateway: it costs a retry.
OOM_SCORE: Final = "500"
PR_SET_PDEATHSIG: Final = 1
# What of the gateway's environment a screener gets: enough to find libraries, and no credential.
ENVIRONMENT: Final = frozenset(
    {"PATH", "HOME", "LANG", "TZ", "TMPDIR", "LD_LIBRARY_PATH", "LD_PRELOAD", "TOKENIZERS_PARALLELISM"}
)
BOOT: Final = "import json, sys; sys.path[:] = json.loads(sys.argv[1]); from {} import main; main(sys.argv[2:])"


def launch(folder: Path, card_sha256: str, descriptor: int) -> list[str]:
    """The command line of a screener of these weights on this socket."""
    return boot("classifiers.screener", str(os.getpid()), str(descriptor), str(folder), card_sha256)


def boot(module: str, *arguments: str) -> list[str]:
    """The command line of a module's ``main``: the same interpreter and the same code as here, no start-up files."""
    path = json.dumps([str(Path(entry).absolute()) for entry in sys.path])
    return [sys.executable, "-I", "-c", BOOT.format(module), path, *arguments]


def inherited(environment: Mapping[str, str]) -> dict[str, str]:
    """The part of an environment that a screener gets."""
    return {
        name: value
        for name, value in environment.items()
        if name in ENVIRONMENT or name.startswith(("LC_", "FAKETIME"))
    }


def main(arguments: Sequence[str]) -> None:
    """Arguments: the gateway's pid, the socket's descriptor, the folder, the digest of its card."""
    parent, descriptor, folder, digest = int(arguments[0]), int(arguments[1]), Path(arguments[2]), arguments[3]
    settle(parent)
    run(descriptor, lambda: Weights(load_card(folder, digest), load_folder(folder, digest).engine))


def settle(parent: int) -> None:
    """Tie this process to its parent, and to nothing else: no signals of the group, no core file with prompts in it."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text(OOM_SCORE)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:  # it died before this was said
        os._exit(1)


@dataclass(frozen=True, slots=True)
class Weights:
    """What a screener runs. Whether the engine tells the canaries apart, the gateway finds out: it asks before anything else."""

    card: Card
    engine: Engine


def run(descriptor: int, load: Callable[[], Weights], conversation: Conversation | None = None) -> NoReturn:
    """Serve until the gateway is gone, and end the process: a thread may be inside the model, and nothing is worth waiting for."""
    connection = socket.socket(fileno=descriptor)
    with contextlib.suppress(OSError):
        asyncio.run(serve(connection, load, conversation or Screener))
    os._exit(0)


async def serve(connection: socket.socket, load: Callable[[], Weights], conversation: Conversation) -> None:
    """Load, say so, and answer until the other side closes. Raises OSError."""
    connection.setblocking(False)
    reader, writer = await asyncio.open_unix_connection(sock=connection)
    with contextlib.closing(writer):
        try:
            weights = await asyncio.to_thread(load)
        except ClassifierError as error:
            writer.write(frame(Refused(str(error)[:MOST_REASON])))
            await writer.drain()
            return
        workers = Workers(weights.engine, len(weights.card.categories), threads=1, waiting=MOST_WAITING)
        writer.write(frame(Hello(weights.card.digest)))
        with contextlib.suppress(FrameError):  # the gateway speaks otherwise: end, and be started anew
            await conversation(workers, writer).read(reader)


class Screener:
    """The conversation: asks become tasks, so that short ones overtake long ones in the workers' queue."""

    def __init__(self, workers: Workers, writer: asyncio.StreamWriter) -> None:
        self._workers = workers
        self._writer = writer
        self._tasks: dict[int, asyncio.Task[None]] = {}

    async def read(self, reader: asyncio.StreamReader) -> None:
        """Until the end of the stream. Raises FrameError, OSError."""
        frames = Frames.requests()
        while data := await reader.read(READ_BYTES):
            frames.feed(data)
            for message in frames.messages():
                if isinstance(message, Ask):
                    self._tasks[message.id] = asyncio.create_task(self._answer(message))
                elif isinstance(message, Drop):
                    if (task := self._tasks.pop(message.id, None)) is not None:
                        task.cancel()
                else:
                    self._say(Pong(self._workers.progress, self._workers.busy))

    def _say(self, reply: Reply) -> None:
        self._writer.write(frame(reply))

    async def _answer(self, ask: Ask) -> None:
        try:
            texts = [unpack(text) for text in ask.texts]
            sweep = await self._workers.sweep(texts, ask.limit, Share(ask.share, ask.shares))
        except OverBudget as error:
            self._say(Over(ask.id, error.windows))
        except ClassifierInvalid as error:
            self._say(Failed(ask.id, "invalid", str(error)[:MOST_REASON]))
        except (ClassifierError, FrameError) as error:
            self._say(Failed(ask.id, "unavailable", str(error)[:MOST_REASON]))
        else:
            with contextlib.suppress(OSError):  # the gateway is gone, which ``read`` sees
                await self._tell(ask.id, sweep)
        finally:
            self._tasks.pop(ask.id, None)

    async def _tell(self, number: int, sweep: Sweep) -> None:
        self._say(Found(number, sweep.counts, sweep.tokens, sweep.encoder))
        spans = [(window.start, window.end, window.scores) for window in sweep.windows]
        for start in range(0, len(spans), PART_WINDOWS):
            self._say(Part(number, tuple(spans[start : start + PART_WINDOWS])))
            await self._writer.drain()


Conversation = Callable[[Workers, asyncio.StreamWriter], Screener]
