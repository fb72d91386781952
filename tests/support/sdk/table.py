"""docs/sdk.md, from the cases that the tests prove and the versions that they are proven with."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from support.sdk.cases import LEVELS, Case, Kind, Outcome
from support.sdk.catalogue import CATALOGUE

HEAD = """# What SDKs can do through the gateway

Generated: each row is a case that `tests/sdk` proves with the real package, a real gateway with that level's controls, and a
scripted model server that says what the case needs and shows what it was sent. `python tests/test_docs.py` rewrites this page.

*works*: what the application asks for reaches the model server as it is (numbers, flags and enumerated words are checked), and the
answer comes back. *works, screened*: the same, and the texts are judged: the case is proven again with a forbidden phrase where
they stand. *works without*: the call works, and what was asked for is a header or a query, none of which is forwarded. *dropped*:
the call works without the parameter, which `x-asl-dropped` names. *refused*: the SDK raises after one attempt and the model server
sees nothing. *blocked*: what a safety decision looks like. Answers are screened at every level, by the controls that it switches on.

"""
TITLES = {
    "openai": ("The openai package", "openai"),
    "anthropic": ("The anthropic package", "anthropic"),
    "langchain": ("LangChain", "langchain-openai", "langchain-anthropic"),
    "litellm": ("LiteLLM's client", "litellm"),
}


def sdk_page(root: Path) -> str:
    """The whole page."""
    pins = (root / "constraints.txt").read_text() + (root / ".ci" / "litellm.txt").read_text()
    sections = [_section(name, CATALOGUE[name], pins) for name in TITLES]
    return HEAD + _moving() + "".join(sections)


def _section(name: str, cases: Iterable[Case], pins: str) -> str:
    title, *packages = TITLES[name]
    proven = " and ".join(f"{package} {_version(package, pins)}" for package in packages)
    lines = [f"## {title}", "", f"Proven with {proven}.", ""]
    lines += ["| feature | ASL-1 | ASL-2 | ASL-3 | what to know |", "|---|---|---|---|---|"]
    return "\n".join([*lines, *map(_row, cases), "", ""])


def _version(package: str, pins: str) -> str:
    found = re.search(rf"^{package}==(\S+)$", pins, re.MULTILINE)
    assert found is not None, f"{package} is not pinned"
    return found[1]


def _row(case: Case) -> str:
    return f"| {case.feature} | {' | '.join(outcome.kind.value for outcome in case.at)} | {_detail(case)} |"


def _detail(case: Case) -> str:
    exact = dict.fromkeys(filter(None, map(_exactly, case.at)))
    return "; ".join(filter(None, [case.note, *exact]))


def _exactly(outcome: Outcome) -> str:
    if outcome.kind is not Kind.REFUSED:
        return ""
    code = f" `{outcome.code}`" if outcome.code else ""
    return f"`{outcome.error}` {outcome.status}{code}" + (f" at `{outcome.param}`" if outcome.param else "")


def _moving() -> str:
    """What an application must know that moves here: all that is not as it was."""
    lines = [
        "## Moving an application here: what each level drops or refuses",
        "",
        "| | OpenAI chat | Anthropic messages |",
        "|---|---|---|",
    ]
    rows = (
        ("dropped at every level, and named", lambda case: _always(case, Kind.DROPPED)),
        ("refused at every level", lambda case: _always(case, Kind.REFUSED)),
        ("works at ASL-1 and ASL-2, refused at ASL-3", lambda case: _only_strict(case, Kind.WORKS, Kind.SCREENED)),
        ("dropped at ASL-1 and ASL-2, refused at ASL-3", lambda case: _only_strict(case, Kind.DROPPED)),
    )
    for title, fits in rows:
        cells = ["; ".join(case.feature for case in CATALOGUE[name] if fits(case)) for name in ("openai", "anthropic")]
        lines.append(f"| {title} | {' | '.join(cells)} |")
    return "\n".join([*lines, "", ""])


def _always(case: Case, kind: Kind) -> bool:
    return all(outcome.kind is kind for outcome in case.at)


def _only_strict(case: Case, *before: Kind) -> bool:
    return case.at[len(LEVELS) - 1].kind is Kind.REFUSED and all(outcome.kind in before for outcome in case.at[:-1])
