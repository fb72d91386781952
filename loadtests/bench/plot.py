"""A picture of a report. Run by path with a Python that has matplotlib: ``plot.py bench.json bench.png``; imports nothing of ours."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from statistics import median
from typing import Any

PANELS = (
    ("many", "requests_per_s", 1.0, "requests/s, 64 connections"),
    ("one", "p50_us", 1e3, "p50 ms, one connection"),
    ("chunks", "cpu_per_chunk_us", 1.0, "CPU us a chunk, one by one"),
    ("first", "first_text_us", 1e3, "first text ms, 50 tokens/s"),
)


def values(report: dict[str, Any], measure: str, figure: str, unit: float) -> list[tuple[str, list[float]]]:
    """The rounds of a figure for each contestant that has it; zeros (no processor time without a proxy) are left out."""
    found = []
    for who, measures in report["figures"].items():
        rounds = [value / unit for value in measures.get(measure, {}).get(figure, {}).values()]
        if rounds and min(rounds) > 0:
            found.append((report["titles"][who], rounds))
    return found


def draw(report: dict[str, Any], path: Path) -> None:
    """Bars are medians, lines go from the least to the most; the scale is logarithmic."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.ticker import NullFormatter

    figure = Figure(figsize=(11, 7), layout="constrained")
    FigureCanvasAgg(figure)
    for axes, (measure, name, unit, title) in zip(figure.subplots(2, 2).flat, PANELS, strict=True):
        found = values(report, measure, name, unit)
        middles = [median(rounds) for _, rounds in found]
        reach = [[median(r) - min(r) for _, r in found], [max(r) - median(r) for _, r in found]]
        axes.set_title(title)
        axes.set_xscale("log")
        axes.xaxis.set_minor_formatter(NullFormatter())
        axes.barh([label for label, _ in found], middles, xerr=reach, color="#4c78a8", capsize=3)
        for row, (middle, (_, rounds)) in enumerate(zip(middles, found, strict=True)):
            axes.annotate(
                f"  {middle:,.0f}" if middle >= 100 else f"  {middle:.3g}", (max(rounds), row), va="center", fontsize=8
            )
        axes.margins(x=0.25)
        axes.invert_yaxis()
    figure.suptitle(f"{report['setting']['commit']}, {report['setting']['time']}", fontsize=9)
    figure.savefig(path, dpi=120)


if __name__ == "__main__":
    draw(json.loads(Path(sys.argv[1]).read_text()), Path(sys.argv[2]))
