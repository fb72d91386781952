"""``asl-gateway screen``: what would happen to this text, and why. An operator's tool; recorded."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from gateway.cli.client import AdminClient
from gateway.cli.exits import Exit, document, fail, line
from gateway.cli.options import STATE, CaOption, JsonOption, StateOption


def screen(
    file: Annotated[str, typer.Argument(help="A file, or - for standard input.", metavar="[FILE|-]")] = "-",
    model: Annotated[str | None, typer.Option("--model", help="Canonical name; the only model without it.")] = None,
    state: StateOption = STATE,
    ca: CaOption = None,
    json: JsonOption = False,
) -> None:
    """Judge a text as a prompt to a model, by every control of its level."""
    client = AdminClient(state, ca)
    try:
        text = sys.stdin.read() if file == "-" else Path(file).read_text()
    except (OSError, UnicodeDecodeError) as error:
        fail(Exit.FAILURE, f"{file} cannot be read as text: {error}")
    body = {"text": text} if model is None else {"text": text, "model": model}
    data = client.post("/screen", body)
    if json:
        document(data)
        return
    line(f"{data['verdict']} for {data['model']} at {data['asl']} ({data['decision_id']})")
    for verdict in data["verdicts"]:
        shadow = ", shadow" if verdict["shadow"] else ""
        score = f", score {verdict['score'] / 1000:.3f}" if verdict["score"] >= 0 else ""
        detail = f" [{verdict['detail']}]" if verdict["detail"] else ""
        line(
            f"  {verdict['control']}: {verdict['outcome']} ({verdict['reason']}, {verdict['category']}{score}{shadow}){detail}"
        )
