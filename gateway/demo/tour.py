"""The tour: what a visitor should see in the first minute, each step checked by what came back over the wire."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any

import httpx

from gateway.controls.magic import MAGIC
from gateway.demo.llama import MODEL

BENIGN = "In one sentence: why is the sky blue?"
CANARY = "amber kestrel protocol"
PROMPT_MAGIC = MAGIC["input_screen"]
ANSWER_MAGIC = MAGIC["output_screen"]


@dataclass(frozen=True, slots=True)
class Step:
    """One thing shown."""

    step: str
    ok: bool
    status: int
    finish_reason: str
    shown: str

    def row(self) -> dict[str, Any]:
        """As the contract prints it."""
        return {"step": self.step, "ok": self.ok, "status": self.status, "finish_reason": self.finish_reason}


class Tour:
    """Talks to a running gateway as an application and as an operator would. ``say`` gets pieces of the answer as they come."""

    def __init__(self, data: str, admin: str, token: str, say: Callable[[str], None]) -> None:
        self._data = httpx.AsyncClient(base_url=data, timeout=60, trust_env=False)
        headers = {"authorization": f"Bearer {token}"}
        self._admin = httpx.AsyncClient(base_url=admin, headers=headers, timeout=30, trust_env=False)
        self._say = say

    async def steps(self) -> AsyncIterator[Step]:
        """All steps in order."""
        yield await self._streamed("benign_streamed", BENIGN, wanted={"stop", "length"})
        yield await self._blocked()
        yield await self._streamed("answer_blocked", f"{ANSWER_MAGIC} {BENIGN}", wanted={"content_filter"})
        yield await self._switch(
            "raised", "POST", {"level": "asl-5", "owner": "demo", "reason": "demo: a level is raised"}
        )
        yield await self._halted()
        yield await self._switch("released", "DELETE", {"owner": "demo", "reason": "demo: back to its record"})
        yield await self._streamed("benign_again", BENIGN, wanted={"stop", "length"})

    async def close(self) -> None:
        """Hang up."""
        await self._data.aclose()
        await self._admin.aclose()

    async def _streamed(self, step: str, prompt: str, wanted: set[str]) -> Step:
        reason, text = "none", ""
        async with self._data.stream("POST", "/v1/chat/completions", json=_body(prompt, stream=True)) as answer:
            async for line in answer.aiter_lines():
                if not line.startswith("data: {"):
                    continue
                for choice in json.loads(line[6:]).get("choices", []):
                    piece = choice["delta"].get("content") or ""
                    text += piece
                    self._say(piece)
                    reason = choice["finish_reason"] or reason
        return Step(step, answer.status_code == 200 and reason in wanted, answer.status_code, reason, text)

    async def _blocked(self) -> Step:
        answer = await self._data.post("/v1/chat/completions", json=_body(f"{PROMPT_MAGIC} Hello."))
        return self._refused("prompt_blocked", answer, 400, "content_filter")

    async def _halted(self) -> Step:
        answer = await self._data.post("/v1/chat/completions", json=_body(BENIGN))
        return self._refused("halted", answer, 403, "asl_serving_halted")

    def _refused(self, step: str, answer: httpx.Response, status: int, code: str) -> Step:
        error = answer.json().get("error", {})
        ok = (
            answer.status_code == status
            and error.get("code") == code
            and answer.headers.get("x-should-retry") == "false"
        )
        return Step(step, ok, answer.status_code, "none", f"{error.get('code')}: {error.get('message')}")

    async def _switch(self, step: str, method: str, body: dict[str, str]) -> Step:
        answer = await self._admin.request(method, f"/api/v1/models/{MODEL}/brakes", json=body)
        data = answer.json()
        shown = f"{data.get('model')}: {data.get('in_force')} in force (revision {data.get('revision')})"
        return Step(step, answer.is_success, answer.status_code, "none", shown)


def _body(prompt: str, *, stream: bool = False) -> dict[str, Any]:
    messages = [{"role": "user", "content": prompt}]
    return {"model": MODEL, "messages": messages, "stream": stream, "max_tokens": 60, "temperature": 0}
