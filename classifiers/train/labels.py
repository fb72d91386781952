"""From the labels of the data to the targets of the heads.

``relabels.json`` holds the verdicts of one re-reading, by row id: ``excluded`` (mild, benign or meaningless rows among the
positives), ``other_harmful`` (conventional weapons among the positives), ``cbrn_harmful`` (deliberate contamination and
infection among the other rows) and ``not_for_cbrn`` (boundary cases that teach ``cbrn`` neither way).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from classifiers.rows import Row

RELABELS: Final = Path(__file__).parent / "relabels.json"
CATEGORIES: Final = ("cbrn", "other_harm")
Kind = Literal["cbrn", "other_harm", "poison", "adjacent", "benign"]
_KINDS: Final[dict[str, Kind]] = {
    "cbrn_harmful": "cbrn",
    "other_harmful": "other_harm",
    "cbrn_adjacent_benign": "adjacent",
    "benign": "benign",
}


@dataclass(frozen=True, slots=True)
class Example:
    """A row with its kind; ``poison`` stands for the boundary cases: other harm, and unknown to ``cbrn``.

    ``child`` marks a variant that was made from another row.
    """

    row: Row
    kind: Kind
    child: bool = False

    def target(self, category: str) -> float | None:
        """1 or 0 for a category, None where the row says nothing about it."""
        if self.kind in {"benign", "adjacent"}:
            return 0.0
        if category == "other_harm":
            return None if self.kind == "cbrn" else 1.0
        return {"cbrn": 1.0, "poison": None}.get(self.kind, 0.0)


def read_relabels(path: Path) -> dict[str, str]:
    """The changed verdict of each re-read row, by id."""
    lists: dict[str, list[str]] = json.loads(path.read_text())
    return {row: verdict for verdict, rows in lists.items() for row in rows}


def label(rows: Sequence[Row], relabels: dict[str, str]) -> list[Example]:
    """The rows as examples; excluded ones and labels that train nothing are left out."""
    examples = []
    for row in rows:
        verdict = relabels.get(row.id, row.label)
        if verdict == "not_for_cbrn":
            examples.append(Example(row, "poison"))
        elif verdict in _KINDS:
            examples.append(Example(row, _KINDS[verdict]))
    return examples
