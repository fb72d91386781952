"""A guard's server, for real on a socket: speaks every API that guards speak, and can be told to misbehave.

The model behind it is a keyword: text with "amber kestrel" or "nerve" is harmful.
"""

from __future__ import annotations

import contextlib
import json
import math
import threading
from collections.abc import Callable, Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

KEYWORDS = ("amber kestrel", "nerve")
Reply = tuple[int, bytes]


def harmful(text: str) -> bool:
    """What the model thinks."""
    return any(keyword in text.lower() for keyword in KEYWORDS)


def llama(text: str) -> str:
    """Llama Guard's answer."""
    return "\n\nunsafe\nS9" if harmful(text) else "\n\nsafe"


def tokens(text: str, sure: float = 0.98) -> list[tuple[str, dict[str, float]]]:
    """The text in tokens that begin at spaces, tags and line ends, each with its likeliest candidates and their logarithms."""
    other = {"safe": "unsafe", "unsafe": "safe", "yes": "no", "no": "yes", "Yes": "No", "No": "Yes"}
    other |= {" Safe": " Unsafe", " Unsafe": " Safe", " Controvers": " Safe", " yes": " no", " no": " yes"}
    pieces: list[str] = []
    for character in text:
        if not pieces or character in " \n<" or pieces[-1].endswith(("\n", ">")) or pieces[-1] == " Controvers":
            pieces.append(character)
        else:
            pieces[-1] += character
    return [
        (piece, {piece: math.log(sure)} | ({other[piece]: math.log(1 - sure)} if piece in other else {}))
        for piece in pieces
    ]


def chat(text: str, sure: float = 0.98, finish: str = "stop") -> dict[str, Any]:
    """vLLM's answer of ``/v1/chat/completions``."""
    places = [
        {
            "token": token,
            "logprob": found[token],
            "top_logprobs": [{"token": k, "logprob": v} for k, v in found.items()],
        }
        for token, found in tokens(text, sure)
    ]
    message = {"role": "assistant", "content": text}
    return {"choices": [{"index": 0, "message": message, "logprobs": {"content": places}, "finish_reason": finish}]}


def completion(text: str, sure: float = 0.98, finish: str = "stop") -> dict[str, Any]:
    """vLLM's answer of ``/v1/completions``."""
    found = tokens(text, sure)
    lists = {"tokens": [token for token, _ in found], "top_logprobs": [candidates for _, candidates in found]}
    return {"choices": [{"index": 0, "text": text, "logprobs": lists, "finish_reason": finish}]}


def answer(path: str, body: Mapping[str, Any], classes: tuple[str, ...] = ("fine", "harm")) -> Any:
    """What a server that is well answers."""

    def scores(text: str) -> list[float]:
        return [0.02, 0.98] if harmful(text) else [0.97, 0.03]

    def label(text: str) -> str:
        return classes[int(harmful(text))]

    if path == "/v1/chat/completions":
        return chat(llama(body["messages"][0]["content"]))
    if path == "/v1/completions":
        return completion("Yes" if harmful(body["prompt"].split("Our safety")[0]) else "No", finish="length")
    if path == "/classify":
        found = [
            {"index": i, "label": label(t), "probs": scores(t), "num_classes": 2} for i, t in enumerate(body["input"])
        ]
        return {"id": "classify-1", "object": "list", "data": found[::-1]}
    if path == "/pooling":
        return {"data": [{"index": i, "object": "pooling", "data": scores(t)} for i, t in enumerate(body["input"])]}
    if path == "/predict":
        rows = [[{"label": n, "score": s} for n, s in zip(classes, scores(t[0]), strict=True)] for t in body["inputs"]]
        return [sorted(row, key=lambda one: -one["score"]) for row in rows]
    if path.startswith("/v2/models/"):
        texts = body["inputs"][0]["data"]
        flat = [score for text in texts for score in scores(text)]
        return {"outputs": [{"name": "scores", "datatype": "FP32", "shape": [len(texts), 2], "data": flat}]}
    raise KeyError(path)


class GuardServer:
    """``fault``: None, or what is answered instead (a body, or a status and a body), by path and body.

    ``gate``: when cleared, requests wait until it is set. ``seen``: paths and bodies so far; ``headers``: those of the last.
    """

    def __init__(self) -> None:
        self.fault: Callable[[str, Mapping[str, Any]], Reply | None] | None = None
        self.gate = threading.Event()
        self.gate.set()
        self.seen: list[tuple[str, Any]] = []
        self.headers: dict[str, str] = {}
        self.url = ""

    def reply(self, path: str, body: Mapping[str, Any]) -> Reply:
        """Status and body."""
        wrong = self.fault(path, body) if self.fault else None
        return wrong or (200, json.dumps(answer(path, body)).encode())


def always(status: int, content: bytes = b"{}") -> Callable[[str, Mapping[str, Any]], Reply]:
    """A fault that does not depend on the request."""
    return lambda path, body: (status, content)


class _Quiet(ThreadingHTTPServer):
    """A caller who leaves is no news."""

    def handle_error(self, *args: Any) -> None:
        del args


@contextlib.contextmanager
def serving() -> Iterator[GuardServer]:
    """A server on a free port, in a thread."""
    server = GuardServer()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True  # head and body are two writes

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            server.seen.append((self.path, body))
            server.headers = dict(self.headers)
            server.gate.wait(60)
            status, content = server.reply(self.path, body)
            with contextlib.suppress(OSError):
                self.send_response(status)
                self.send_header("content-length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

        def log_message(self, *args: Any) -> None:
            del args

    running = _Quiet(("127.0.0.1", 0), Handler)
    running.daemon_threads = True
    thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    server.url = f"http://127.0.0.1:{running.server_address[1]}"
    try:
        yield server
    finally:
        server.gate.set()
        running.shutdown()
        running.server_close()
        thread.join(30)
