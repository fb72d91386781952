"""Runs inside LiteLLM's own environment: does what it is told on standard input, one JSON object a line, and says what came of it.

LiteLLM pins other versions than ours, so it is a process. Imports nothing of this project.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from typing import Any

os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"  # its import would fetch a list of prices
os.environ["LITELLM_TELEMETRY"] = "False"

import litellm

litellm.suppress_debug_info = True
litellm.telemetry = False


def plain(answer: Any) -> dict[str, Any]:
    """An answer as JSON."""
    choice = answer.choices[0]
    calls = [[call.function.name, call.function.arguments] for call in choice.message.tool_calls or []]
    return {"text": choice.message.content or "", "finish": choice.finish_reason, "calls": calls}


def streamed(pieces: Any) -> dict[str, Any]:
    """A stream as JSON."""
    told: dict[str, Any] = {"text": "", "finish": None, "calls": []}
    for piece in pieces:
        choice = piece.choices[0]
        told["text"] += choice.delta.content or ""
        told["finish"] = choice.finish_reason or told["finish"]
        for call in choice.delta.tool_calls or []:
            if call.function.name:
                told["calls"].append([call.function.name, ""])
            told["calls"][-1][1] += call.function.arguments or ""
    return told


def failed(error: Exception) -> dict[str, Any]:
    """An exception as JSON: the names of its classes, from its own up to Exception."""
    names = [kind.__name__ for kind in type(error).__mro__]
    return {
        "error": type(error).__name__,
        "kinds": names[: names.index("Exception")],
        "status": getattr(error, "status_code", None),
        "code": getattr(error, "code", None),
        "param": getattr(error, "param", None),
        "message": str(error),
    }


def act(order: dict[str, Any]) -> dict[str, Any]:
    """One call of ``litellm.completion``."""
    awaited = order.pop("awaited", False)
    try:
        if awaited:
            return plain(asyncio.run(litellm.acompletion(**order)))
        answer = litellm.completion(**order)
        return streamed(answer) if order.get("stream") else plain(answer)
    except Exception as error:  # noqa: BLE001 - whatever it raises is what a test wants to know
        return failed(error)


if __name__ == "__main__":
    for line in sys.stdin:
        sys.stdout.write(json.dumps(act(json.loads(line))) + "\n")
        sys.stdout.flush()
