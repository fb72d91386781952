"""``asl-gateway calibrate``: a screen's threshold for a wanted flag rate on an operator's own harmless texts, and what it costs."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gateway.cli.exits import Exit, document, fail, line
from gateway.cli.options import JsonOption
from gateway.settings.calibrated import write_levels
from gateway.settings.faults import ConfigInvalid
from gateway.settings.load import builtin_dir, load

if TYPE_CHECKING:
    from classifiers.evaluate.calibrate import Chosen
    from classifiers.evaluate.intervals import Rate

CATEGORY = "cbrn"


class Screen(StrEnum):
    """The controls whose threshold can be chosen: those that block by a score."""

    INPUT = "input_screen"
    OUTPUT = "output_screen"


@dataclass(frozen=True, slots=True)
class Found:
    """What was chosen from which texts; ``written`` is the changed level file, empty for none."""

    model: str
    control: str
    share: float
    chosen: Chosen
    written: str = ""


def calibrate(
    benign: Annotated[
        list[Path], typer.Option("--benign", help="Harmless texts: JSON lines with text, or one a line.")
    ],
    harmful: Annotated[
        list[Path] | None, typer.Option("--harmful", help="Texts that must be found, to see the recall; same forms.")
    ] = None,
    share: Annotated[float, typer.Option("--share", help="The share of harmless texts that may be flagged.")] = 0.001,
    control: Annotated[Screen, typer.Option("--control", help="The screen.")] = Screen.INPUT,
    model: Annotated[str, typer.Option("--model", help="The classifier.")] = "cbrn-minilm",
    config: Annotated[Path | None, typer.Option("--config", help="Whose levels to start from; else built-in.")] = None,
    out: Annotated[Path | None, typer.Option("--out", help="New directory of level files with the threshold.")] = None,
    looser: Annotated[bool, typer.Option("--looser", help="Write a threshold above the shipped one, too.")] = False,
    json: JsonOption = False,
) -> None:
    """Choose a threshold for a flag rate from your own harmless texts.

    Example: asl-gateway calibrate --benign traffic.jsonl --share 0.001 --out levels
    """
    if not 0.0 < share < 1.0:
        fail(Exit.USAGE, f"--share {share:g} is not between 0 and 1")
    chosen = _choose(model, benign, harmful or (), share)
    written = ""
    if out is not None:
        if chosen.looser and not looser:
            do = (
                "leave out --out to see the figures, or say --looser: it lets through what the shipped threshold blocks"
            )
            fail(
                Exit.FAILURE, f"{chosen.threshold} is looser than the shipped {chosen.shipped}; nothing written", do=do
            )
        written = str(_write(config, out, control.value, chosen.threshold))
    found = Found(model, control.value, share, chosen, written)
    if json:
        document(as_json(found))
    else:
        _print(found)


def _choose(model: str, benign: Sequence[Path], harmful: Sequence[Path], share: float) -> Chosen:
    """Score both kinds of texts and choose; ends the command where that fails."""
    from classifiers.base import ClassifierError
    from classifiers.catalogue import create
    from classifiers.evaluate.calibrate import CannotCalibrate, choose, enough, read_texts
    from classifiers.evaluate.run import score_rows
    from classifiers.rows import DataError, Row

    try:
        texts = {"benign": read_texts(benign), "harmful": read_texts(harmful)}
        enough(len(texts["benign"]), share)
        rows = [Row("", text, label, "") for label, found in texts.items() for text in found]
        classifier = create(model)
        shipped = classifier.card.thresholds[f"{CATEGORY}.block"]
        scored = asyncio.run(score_rows(classifier, rows))
        of = {label: [one.scores[CATEGORY] for one in scored if one.label == label] for label in texts}
        return choose(of["benign"], share, shipped, of["harmful"])
    except (ClassifierError, DataError, CannotCalibrate) as error:
        fail(Exit.FAILURE, str(error))
    except KeyError:
        fail(Exit.FAILURE, f"{model} does not block {CATEGORY}")


def _write(config: Path | None, out: Path, control: str, threshold: int) -> Path:
    try:
        settings = load(config, os.environ, {}) if config else None
        source = (settings and settings.levels) or builtin_dir() / "levels"
        return write_levels(source, out, control, threshold)
    except ConfigInvalid as error:
        fail(Exit.CONFIG_INVALID, "\n".join(map(str, error.faults)))
    except OSError as error:
        fail(Exit.FAILURE, f"{out} cannot be written: {error.strerror}")


def _figures(rate: Rate | None) -> Mapping[str, Any] | None:
    if rate is None:
        return None
    interval = [round(rate.low, 5), round(rate.high, 5)]
    return {"hits": rate.hits, "interval": interval, "rate": round(rate.value, 5), "total": rate.total}


def as_json(found: Found) -> dict[str, Any]:
    """The document of ``--json``; recall is null without harmful texts."""
    chosen = found.chosen
    return {
        "category": CATEGORY,
        "control": found.control,
        "flagged": _figures(chosen.flagged),
        "flagged_shipped": _figures(chosen.flagged_shipped),
        "looser": chosen.looser,
        "model": found.model,
        "recall": _figures(chosen.recall),
        "recall_shipped": _figures(chosen.recall_shipped),
        "share": found.share,
        "shipped": chosen.shipped,
        "threshold": chosen.threshold,
        "written": found.written,
    }


def _print(found: Found) -> None:
    chosen = found.chosen
    line(f"# {found.model}, {CATEGORY}: wanted {found.share:.3%} of harmless texts. Brackets: exact 95 % intervals.")
    line(f"# threshold {chosen.threshold}: flags {chosen.flagged}")
    line(f"# shipped   {chosen.shipped}: flags {chosen.flagged_shipped}")
    if chosen.recall is None:
        line("# recall: not known without --harmful; the card's own figures are of its shipped thresholds only")
    else:
        line(f"# recall: {chosen.recall}; shipped: {chosen.recall_shipped}")
    if chosen.looser:
        line("# LOOSER than shipped: it lets through what the shipped threshold blocks")
    line("thresholds:")
    line(f"  {found.control}: {chosen.threshold}")
    if found.written:
        line(f"# written: {found.written}; name its directory as `levels:` in the configuration, then check-config")
