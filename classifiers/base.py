"""The classifier seam: messages in, scores out. A classifier knows no policy, no level and no verdict.

Error tree::

    ClassifierError
    ├── ClassifierUnavailable   the process, thread or model is gone, or was never ready (infrastructure)
    ├── ClassifierTimeout       no score before the deadline; the queue wait counts (infrastructure)
    ├── ClassifierInvalid       scores that are not finite numbers in [0, 1], or of the wrong shape (infrastructure)
    ├── ClassifierArtefact      a file does not match its pinned digest, or a canary was not told apart (start-up)
    └── OverBudget              the text needs more windows than the caller's budget allows (input)

Controls translate these into verdicts; no numpy, onnxruntime or tokenizers error leaves this package.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol


class ClassifierError(Exception):
    """Any fault of a classifier; subclasses say which."""


class ClassifierUnavailable(ClassifierError):
    """The model, its thread or its process is not there."""


class ClassifierTimeout(ClassifierError):
    """No score before the deadline."""


class ClassifierInvalid(ClassifierError):
    """The model answered, but not with one finite score in [0, 1] per window and category."""


class ClassifierArtefact(ClassifierError):
    """A shipped file differs from its pinned digest, or the start-up canaries were not told apart."""


class OverBudget(ClassifierError):
    """The messages need more windows than allowed; nothing was truncated and nothing was scored."""

    def __init__(self, windows: int, budget: int) -> None:
        super().__init__(f"{windows} windows needed, {budget} allowed")
        self.windows = windows
        self.budget = budget


@dataclass(frozen=True, slots=True)
class Card:
    """What is known about one set of weights; the shipped form is ``card.json`` beside them."""

    id: str
    version: str
    categories: tuple[str, ...]
    thresholds: Mapping[str, float]
    window_tokens: int
    stride_tokens: int
    digest: str


@dataclass(frozen=True, slots=True)
class Window:
    """One scored span of a message: character offsets [start, end) and one score in [0, 1] per category of the card."""

    start: int
    end: int
    scores: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Scored:
    """One message, wholly covered by overlapping windows (an empty message has none)."""

    windows: tuple[Window, ...]
    tokens: int

    def highest(self) -> float:
        """The largest score of any window and category; 0.0 without windows."""
        return max((max(window.scores) for window in self.windows), default=0.0)

    def peak(self, category: int) -> float:
        """The largest score of one category, by its position in the card's categories; 0.0 without windows."""
        return max((window.scores[category] for window in self.windows), default=0.0)


class Loss(StrEnum):
    """Why a thread or process that scores was replaced; the closed set of the metric's label."""

    DIED = "died"
    HUNG = "hung"
    NONSENSE = "nonsense"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Health:
    """Who scores now: threads or processes that take work, of how many, and those lost so far by cause.

    ``fit``: whether work may be sent here. With nobody alive it may not, nor where more threads hang than can be replaced.
    ``windows``: how many were scored so far; ``encoder``: how many of them went on to the encoder; ``second``: texts that went on
    to a second stage.
    """

    alive: int
    wanted: int
    fit: bool
    losses: Mapping[Loss, int]
    windows: int = 0
    encoder: int = 0
    second: int = 0


class Classifier(Protocol):
    """Turns messages into scores. Implementations share one conformance suite (``tests/support/classifier_conformance.py``)."""

    @property
    def card(self) -> Card: ...

    @property
    def health(self) -> Health:
        """Who scores now; cheap, and known at any time."""

    async def start(self) -> None:
        """Load, check digests, warm up, tell the canaries apart. Raises ClassifierArtefact or ClassifierUnavailable."""

    async def score(
        self, messages: Sequence[str], *, budget: int, seconds: float, partition: str = ""
    ) -> tuple[Scored, ...]:
        """Score each message over windows that cover all of it.

        ``budget``: the most windows all messages together may need, counted before any inference (cached ones count too).
        ``seconds``: the time allowed, queue wait included.
        ``partition``: whose texts they are. What is kept of them may speed up this one's calls and nobody else's, so that the
        time of an answer tells nothing about what others have sent.
        Raises OverBudget, ClassifierTimeout, ClassifierUnavailable, ClassifierInvalid.
        """

    async def close(self) -> None:
        """Free threads and memory; ``score`` raises ClassifierUnavailable from then on."""
