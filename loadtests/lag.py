"""The loop's steps under load: ``python -m loadtests.lag [--seconds N]``. CPU time of the loop's thread for each callback.

The gateway runs with its debug hook (``ASL_GATEWAY_LOOP_LAG``), on asyncio's own loop, since uvloop's callbacks cannot be timed.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import time
from pathlib import Path
from typing import Any

import httpx

from gateway.lag import BOUNDS_MS, ENVIRONMENT
from loadtests.evidence import table
from loadtests.rig import CHAT, Running, body, folder, gateway, model_server

CLIENTS = 32
KIB = 1024
PROSE = "The harbour lies still in the morning, and the boats come back. "
FOREIGN = "Ещё один день у моря, 船が戻る。 "


def run(seconds: float) -> dict[str, Any]:
    """The report of the hook after a load of small, large, intricate and streamed requests from 32 connections, with scrapes."""
    with model_server() as upstream, folder() as base:
        file = base / "lag.json"
        os.environ[ENVIRONMENT] = str(file)
        try:
            with gateway(upstream, base / "state", classifiers=False) as running:
                served = asyncio.run(_load(running, seconds))
        finally:
            del os.environ[ENVIRONMENT]
        return _read(file) | {"served": served}


def _read(file: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(file.read_text())
    return found


def _bodies() -> list[dict[str, object]]:
    parts = [{"type": "text", "text": "a b"} for _ in range(5000)]
    many: dict[str, object] = {"model": "demo-model", "messages": [{"role": "user", "content": parts}]}
    return [
        body("How are the boats?"),
        body("How are the boats?", stream=True),
        body((PROSE * 1000)[: 32 * KIB]),
        body((PROSE * 5000)[: 255 * KIB]),
        body((FOREIGN * 5000)[: 100 * KIB]),
        many,
    ]


async def _load(running: Running, seconds: float) -> int:
    end, bodies, chance = time.monotonic() + seconds, _bodies(), random.Random(1)
    weights = (40, 40, 10, 3, 3, 1)
    async with httpx.AsyncClient(
        trust_env=False, timeout=60, limits=httpx.Limits(max_connections=CLIENTS + 1)
    ) as client:

        async def visit() -> int:
            number = 0
            while time.monotonic() < end:
                (given,) = chance.choices(bodies, weights)
                answer = await client.post(running.data + CHAT, json=given)
                number += answer.status_code == 200
            return number

        async def scrape() -> int:
            while time.monotonic() < end:
                await client.get(running.admin + "/metrics")
                await asyncio.sleep(0.5)
            return 0

        return sum(await asyncio.gather(*(visit() for _ in range(CLIENTS)), scrape()))


def report(found: dict[str, Any]) -> str:
    """The histogram and the slowest steps."""
    total = sum(found["counts"])
    names = [*(f"up to {bound:g} ms" for bound in BOUNDS_MS), "over"]
    rows = [(name, count, f"{100 * count / total:.3f} %") for name, count in zip(names, found["counts"], strict=True)]
    slowest = [(f"{took:.2f}", name) for took, name in found["slowest"]]
    lead = f"{total:,} steps for {found['served']:,} answers over {CLIENTS} connections; CPU time of the loop's thread."
    heads = ("step", "count", "share")
    return f"## Steps of the loop\n\n{lead}\n\n{table(heads, rows)}\n\n{table(('slowest, ms', 'what ran'), slowest)}"


def main() -> int:
    """Run it and print the report."""
    parser = argparse.ArgumentParser(prog="python -m loadtests.lag", description=__doc__)
    parser.add_argument("--seconds", type=float, default=20)
    print(report(run(parser.parse_args().seconds)))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
