"""The bars that the figures are held against: at ASL-3 with a thousand rules loaded and the ledger on disk."""

from __future__ import annotations

from dataclasses import dataclass

from loadtests.bench.results import Results, Spread

PLAIN = "asl3-plain"


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar; it is held by the median."""

    what: str
    bar: str
    value: Spread | None
    result: str


def judged(results: Results) -> list[Bar]:
    """Every bar with its figure, also those that were not measured."""

    def added(who: str, measure: str, figure: str, unit: float) -> Spread | None:
        found = results.against(who, "direct", measure, figure, minus=True)
        return found and Spread(found.median / unit, found.least / unit, found.most / unit)

    return [
        _bar(
            "requests/s at 64 connections against LiteLLM's, without classifiers",
            results.against(PLAIN, "litellm", "many", "requests_per_s"),
            least=15,
            unit="x",
        ),
        _bar(
            "added p50 at one connection, without classifiers", added(PLAIN, "one", "p50_us", 1e3), most=1.0, unit=" ms"
        ),
        _bar(
            "CPU per streamed chunk, without classifiers, chunks one by one",
            results.spread(PLAIN, "chunks", "cpu_per_chunk_us"),
            most=40,
            unit=" us",
        ),
        _bar("idle memory (RSS), without classifiers", results.spread(PLAIN, "memory", "rss_mb"), most=100, unit=" MB"),
        _bar(
            "start to first answer, without classifiers",
            results.spread(PLAIN, "start", "answered_s"),
            most=2,
            unit=" s",
        ),
        _bar(
            "start to first answer, with classifiers, ready",
            results.spread("asl3", "start", "answered_s"),
            most=4,
            unit=" s",
        ),
        _bar(
            "added time to first text at 50 tokens/s, without classifiers",
            added(PLAIN, "first", "first_text_us", 1e3),
            most=300,
            unit=" ms",
        ),
        _bar(
            "added time to first text at 50 tokens/s, with classifiers",
            added("asl3", "first", "first_text_us", 1e3),
            most=300,
            unit=" ms",
        ),
    ]


def _bar(what: str, value: Spread | None, *, unit: str, least: float | None = None, most: float | None = None) -> Bar:
    bar = f"at least {least:g}{unit}" if least is not None else f"at most {most:g}{unit}"
    if value is None:
        return Bar(what, bar, None, "–")
    held = (least is None or value.median >= least) and (most is None or value.median <= most)
    return Bar(what, bar, value, "pass" if held else "FAIL")
