"""``asl-gateway demo``: a real small model behind the gateway at ASL-3, and a tour of what it does."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path
from typing import Annotated, Any

import httpx
import typer
import uvloop
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from gateway.app.gateway import Gateway
from gateway.app.listeners import Addresses
from gateway.app.logs import configure
from gateway.app.serving import ListenError
from gateway.app.state_dir import TOKEN, StateDirError
from gateway.cli.exits import Exit, document, fail
from gateway.cli.options import JsonOption
from gateway.demo.llama import MODEL
from gateway.demo.tour import Step, Tour
from gateway.demo.upstream import DemoFailed, ModelServer, start_model_server
from gateway.ledger.base import LedgerError
from gateway.settings.faults import ConfigInvalid
from gateway.settings.load import load
from gateway.settings.model import Settings
from gateway.state.base import StoreError

READY_SECONDS = 60
TITLES = {
    "benign_streamed": "An ordinary question, streamed through the gateway",
    "prompt_blocked": "A blocked request (a documented test string stands in for a harmful prompt)",
    "answer_blocked": "A blocked stream: the answer is stopped before its first flagged character leaves",
    "raised": "An operator raises the level to ASL-5",
    "halted": "The same question at ASL-5",
    "released": "The brake is released",
    "benign_again": "And the model serves again",
}


def demo(
    listen: Annotated[str, typer.Option("--listen", help="Data plane, host:port.")] = "127.0.0.1:8080",
    admin_listen: Annotated[str, typer.Option("--admin-listen", help="Admin plane, host:port.")] = "127.0.0.1:8081",
    state: Annotated[Path, typer.Option("--state", help="State directory of the demo.")] = Path(".demo"),
    leave: Annotated[bool, typer.Option("--exit", help="End after the tour; without it the demo stays up.")] = False,
    json: JsonOption = False,
) -> None:
    """Start a model server and the gateway at ASL-3, show a benign and a blocked request, a blocked stream and a level switched live."""
    flags = {
        "listen": {"address": listen},
        "admin": {"address": admin_listen},
        "state": str(state.absolute()),
        "deadlines": {"grace": 0, "drain": 5},
    }
    configure(quiet=True)
    try:
        ok = uvloop.run(_demo(flags, leave=leave, json=json))
    except (DemoFailed, ConfigInvalid, ListenError, StateDirError, StoreError, LedgerError) as error:
        fail(
            Exit.FAILURE,
            str(error),
            do="is another gateway on this address or state directory? see --listen, --admin-listen, --state",
        )
    if not ok:
        fail(Exit.FAILURE, "the tour did not show what it should; see the steps above")


async def _demo(flags: dict[str, Any], *, leave: bool, json: bool) -> bool:
    screen = Console(stderr=json)
    model_server: ModelServer | None = None
    gateway: Gateway | None = None
    try:
        with Progress(
            SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn(), console=screen, transient=True
        ) as progress:
            progress.add_task("starting the model server")
            model_server = await start_model_server()
            progress.add_task("starting the gateway, loading the classifier")
            models = [{"name": MODEL, "aliases": ["demo"], "asl": 3, "upstream": {"url": model_server.url}}]
            starting = Gateway(load(None, {}, {**flags, "models": models}), os.environ)
            addresses = await starting.start()
            gateway = starting
            await _ready(addresses)
        _headline(screen, model_server.kind, addresses)
        steps = await _tour(screen, gateway.settings, addresses)
        ok = all(step.ok for step in steps)
        if json:
            tour = [step.row() for step in steps]
            document({"data": addresses.data, "admin": addresses.admin, "upstream": model_server.kind, "tour": tour})
            sys.stdout.flush()
        if not leave and ok:
            await _stay(screen, addresses, gateway.settings)
        return ok
    finally:
        if gateway is not None:
            await gateway.stop()
        if model_server is not None:
            await model_server.stop()


async def _ready(addresses: Addresses) -> None:
    """Wait until the classifier is warm. Raises DemoFailed."""
    async with httpx.AsyncClient(base_url=addresses.admin, trust_env=False) as client:
        for _ in range(READY_SECONDS * 10):
            answer = await client.get("/readyz")
            if answer.status_code == 200:
                return
            await asyncio.sleep(0.1)
    raise DemoFailed(f"the gateway did not become ready: {', '.join(answer.json()['reasons'])}")


def _headline(screen: Console, kind: str, addresses: Addresses) -> None:
    what = (
        "SmolLM2-135M-Instruct on llama.cpp"
        if kind == "llama.cpp"
        else "a SCRIPTED stand-in (the model's wheels are not installed)"
    )
    screen.print(f"\n[bold]ASL gateway[/bold]  {addresses.data}  in front of {what}, at ASL-3\n", soft_wrap=True)


async def _tour(screen: Console, settings: Settings, addresses: Addresses) -> list[Step]:
    token = (settings.state / TOKEN).read_text().strip()
    tour = Tour(
        addresses.data,
        addresses.admin,
        token,
        lambda piece: screen.print(piece, end="", style="cyan", markup=False, highlight=False),
    )
    steps: list[Step] = []
    try:
        async for step in tour.steps():
            steps.append(step)
            _show(screen, len(steps), step)
    finally:
        await tour.close()
    return steps


def _show(screen: Console, number: int, step: Step) -> None:
    if step.step in {"benign_streamed", "benign_again"}:
        screen.print()
    else:
        screen.print(step.shown, style="cyan", markup=False, highlight=False, soft_wrap=True)
    mark = "[green]ok[/green]" if step.ok else "[red]FAILED[/red]"
    ending = f", finish_reason {step.finish_reason}" if step.finish_reason != "none" else ""
    screen.print(f"  {mark}  {number}. {TITLES[step.step]}: {step.status}{ending}\n", highlight=False, soft_wrap=True)


async def _stay(screen: Console, addresses: Addresses, settings: Settings) -> None:
    lines = (
        ("OpenAI base URL", f"{addresses.data}/v1"),
        ("Anthropic base URL", addresses.data),
        ("model", f"{MODEL} (alias demo)"),
        ("admin API, metrics", f"{addresses.admin}/api/v1/models  {addresses.admin}/metrics"),
        ("operator token", str(settings.state / TOKEN)),
        ("try", f"asl-gateway level show --state {settings.state}"),
        ("", f"asl-gateway ledger verify --state {settings.state}"),
    )
    for name, text in lines:
        screen.print(f"  {name:20}{text}", highlight=False, soft_wrap=True)
    screen.print("\n  Ctrl-C ends the demo.", highlight=False)
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    await stopping.wait()
