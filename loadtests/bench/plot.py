"""A picture of the tables, where matplotlib is installed (the ``bench`` extra)."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from loadtests.bench.contestants import ALL
from loadtests.bench.results import Results

PANELS = (
    ("many", "requests_per_s", 1.0, "requests/s, 64 connections"),
    ("one", "p50_us", 1e3, "p50 ms, one connection"),
    ("chunks", "cpu_per_chunk_us", 1.0, "CPU us a chunk, one by one"),
    ("first", "first_text_us", 1e3, "first text ms, 50 tokens/s"),
)


def plot(results: Results, path: Path) -> bool:
    """Write it; False where matplotlib is absent. Bars are medians, lines go from the least to the most; the scale is logarithmic."""
    if find_spec("matplotlib") is None:
        return False
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 7), layout="constrained")
    FigureCanvasAgg(figure)
    for axes, (measure, name, unit, title) in zip(figure.subplots(2, 2).flat, PANELS, strict=True):
        found = [
            (who.title, spread)
            for who in ALL
            if (spread := results.spread(who.id, measure, name)) and spread.median > 0
        ]
        middles = [spread.median / unit for _, spread in found]
        reach = [[(s.median - s.least) / unit for _, s in found], [(s.most - s.median) / unit for _, s in found]]
        axes.barh([title for title, _ in found], middles, xerr=reach, color="#4c78a8", capsize=3)
        for row, middle in enumerate(middles):
            axes.annotate(f" {middle:,.3g}", (middle, row), va="center", fontsize=8)
        axes.set_title(title)
        axes.set_xscale("log")
        axes.invert_yaxis()
    figure.suptitle(f"{results.setting.get('commit', '')}, {results.setting.get('time', '')}", fontsize=9)
    figure.savefig(path, dpi=120)
    return True
