"""All targets: one explicit list. Each has the folders' files that seed it, and the modules whose coverage guides it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from loadtests.fuzz import dialects, documents, framing, holdback, seeds, texts

Run = Callable[[bytes], None]


@dataclass(frozen=True, slots=True)
class Target:
    """``run`` raises for a crash; ``inputs`` reach far into the parser; ``tree``: they hold JSON, so damage is done to its tree too."""

    name: str
    run: Run
    inputs: Callable[[], list[bytes]]
    tree: bool = False

    def seeds(self) -> list[bytes]:
        """The inputs without doubles."""
        return list(dict.fromkeys(self.inputs()))


TARGETS: tuple[Target, ...] = (
    Target("json", documents.document, seeds.documents, tree=True),
    Target("sse", documents.events, seeds.streams),
    Target("openai-request", dialects.openai_request, lambda: seeds.requests("openai"), tree=True),
    Target("anthropic-request", dialects.anthropic_request, lambda: seeds.requests("anthropic"), tree=True),
    Target("openai-answer", dialects.openai_answer, lambda: seeds.answers("openai"), tree=True),
    Target("anthropic-answer", dialects.anthropic_answer, lambda: seeds.answers("anthropic"), tree=True),
    Target("head", framing.head, seeds.heads),
    Target("chunks", framing.chunks, seeds.chunks),
    Target("response", framing.response, seeds.responses),
    Target("texts", texts.text_views, seeds.texts),
    Target("holdback", holdback.machine, seeds.tapes),
)


def target(name: str) -> Target:
    """The target of this name. Raises KeyError."""
    return {each.name: each for each in TARGETS}[name]
