"""Stage zero: which windows are so plainly ordinary that no encoder needs to look at them.

A table gives every token a logit per category, in whole thousandths. A window's logit is the mean over its tokens, and it is
*cleared* where that stays below the cut in every category. One look-up a token, no model. Whole numbers, so that a window's
score is the same alone, in company, and on every machine. A token that is not in the table counts as the most suspicious one.
"""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from itertools import chain
from typing import TYPE_CHECKING, Any, Final

from classifiers.base import ClassifierArtefact
from classifiers.windows import Span

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

STAGE_ZERO_FILE: Final = "stage0.npz"
UNIT: Final = 1000  # thousandths of a logit
_FAR: Final = 32 * UNIT


class StageZero:
    """A loaded table: ``tokens`` int16 [vocabulary, categories] and ``cut`` int32 [categories], in thousandths of a logit."""

    def __init__(self, tokens: NDArray[np.int16], cut: NDArray[np.int32]) -> None:
        """Raises ValueError for a table that does not fit the cuts, or has no rows."""
        import numpy as np

        if tokens.ndim != 2 or cut.ndim != 1 or tokens.shape[1] != len(cut) or not tokens.size:
            raise ValueError("the table does not fit the cuts")
        if tokens.dtype != np.int16 or cut.dtype != np.int32:
            raise ValueError("the table is not in whole numbers")
        self._numpy = np
        # One more row, for what is not in the table.
        self._tokens = np.vstack([tokens, tokens.max(axis=0, keepdims=True)]).astype(np.int64)
        self._cut = cut

    @classmethod
    def load(cls, content: bytes, categories: int) -> StageZero:
        """From the content of ``stage0.npz``. Raises ClassifierArtefact."""
        import numpy as np

        try:
            with np.load(io.BytesIO(content), allow_pickle=False) as stored:
                found = cls(stored["tokens"], stored["cut"])
        except Exception as error:  # numpy raises whatever the zip, the header or the content runs into
            raise ClassifierArtefact(f"{STAGE_ZERO_FILE} is not a table") from error
        if len(found._cut) != categories:
            raise ClassifierArtefact(f"{STAGE_ZERO_FILE} has other categories than the card")
        return found

    @property
    def most(self) -> tuple[float, ...]:
        """The largest score that a cleared window can have, by category."""
        return tuple(score(int(cut) - 1) for cut in self._cut)

    def settle(self, spans: Sequence[Span]) -> tuple[Span, ...]:
        """The spans, those that are cleared with their scores. A window without tokens is not cleared."""
        if not spans:
            return ()
        np = self._numpy
        sizes = np.fromiter((len(span.ids) for span in spans), np.int64, len(spans))
        ids = np.fromiter(chain.from_iterable(span.ids for span in spans), np.int64, int(sizes.sum()))
        logits = self.logits(ids, sizes)
        clear = self._clears(logits, sizes).tolist()
        return tuple(
            Span(span.start, span.end, span.ids, tuple(map(score, row))) if plain else span
            for span, plain, row in zip(spans, clear, logits.tolist(), strict=True)
        )

    def clears(self, ids: NDArray[Any], sizes: NDArray[Any]) -> NDArray[np.bool_]:
        """Which windows are cleared [windows]; the arguments are those of ``logits``."""
        return self._clears(self.logits(ids, sizes), sizes)

    def _clears(self, logits: NDArray[np.int64], sizes: NDArray[Any]) -> NDArray[np.bool_]:
        clear: NDArray[np.bool_] = (logits < self._cut).all(axis=1) & (sizes > 0)
        return clear

    def logits(self, ids: NDArray[Any], sizes: NDArray[Any]) -> NDArray[np.int64]:
        """The logits [windows, categories]. ``ids``: all windows' tokens in a row; ``sizes``: how many each has."""
        np = self._numpy
        last = len(self._tokens) - 1
        rows = np.where((ids >= 0) & (ids < last), ids, last)
        sums = np.zeros((len(ids) + 1, len(self._cut)), np.int64)
        np.cumsum(self._tokens[rows], axis=0, out=sums[1:])
        ends = np.cumsum(sizes)
        # Rounded up: what rounding does must not clear a window.
        means: NDArray[Any] = -((sums[ends - sizes] - sums[ends]) // np.maximum(sizes, 1)[:, None])
        return means


def score(logit: int) -> float:
    """The score of a logit in thousandths."""
    return 1.0 / (1.0 + math.exp(-max(min(logit, _FAR), -_FAR) / UNIT))
