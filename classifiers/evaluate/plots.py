"""The ROC curve and the calibration of a report as PNG. matplotlib belongs to the training extra and is imported only here, late."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from classifiers.evaluate.ranking import curve
from classifiers.evaluate.report import Texts


def available() -> bool:
    """Whether matplotlib is installed."""
    return importlib.util.find_spec("matplotlib") is not None


def draw(out: Path, texts: Texts, steps: Sequence[dict[str, Any]]) -> list[Path]:
    """Write roc.png (where there are harmful and harmless texts) and calibration.png into ``out``."""
    out.mkdir(parents=True, exist_ok=True)
    drawn = [_calibration(out / "calibration.png", steps)]
    if texts.harmful and texts.harmless:
        drawn.append(_roc(out / "roc.png", texts))
    return drawn


def _roc(path: Path, texts: Texts) -> Path:
    figure, axes = _figure("share of harmless texts flagged", "share of harmful texts flagged")
    near = [one for one in texts.harmless if one.label != "benign"]
    for name, others in (("against ordinary text", texts.ordinary), ("against near misses", near)):
        if others:
            flagged, found = curve(texts.scores(texts.harmful), texts.scores(others))
            axes.step(flagged, found, where="post", label=f"{name} ({len(others)})")
    # Below a flag in a thousand lies what matters; zero has no place on such a scale and stands at its edge.
    axes.set_xscale("symlog", linthresh=1e-4)
    axes.legend(loc="lower right")
    figure.savefig(path)
    return path


def _calibration(path: Path, steps: Sequence[dict[str, Any]]) -> Path:
    figure, axes = _figure("mean score", "share that is harmful among these rows")
    axes.plot([0, 1], [0, 1], linestyle=":", color="grey")
    axes.plot([step["score"] for step in steps], [step["harmful"] for step in steps], marker="o")
    figure.savefig(path)
    return path


def _figure(across: str, up: str) -> tuple[Any, Any]:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 5), dpi=120, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.set_xlabel(across)
    axes.set_ylabel(up)
    axes.set_ylim(0, 1.02)
    axes.grid(alpha=0.3)
    return figure, axes
